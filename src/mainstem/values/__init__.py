"""The plain values that everything else speaks of. No I/O, and nothing of any adapter.

`events` has events before and after they are recorded, what an append answers, and what a store asks of a
codec. `positions` has a type for each number (version, position, event id, partition), `stream_ids` what a
stream id may be, `expected` what an append may expect of a stream, `filters` which events a reader wants.
`checks` looks at numbers as users give them, and `equality` says whether two values are the same.
Read `positions` and `events` first.
"""
