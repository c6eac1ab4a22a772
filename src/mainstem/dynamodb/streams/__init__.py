"""One stream at a time, as the events table has it.

`stream_end` finds a stream's last event, and writes the items that a large commit still lacks; every append
rests on it. `versions` remembers the versions that were seen, so that most appends need not look.
`reading` reads a stream's events, also of a commit that is in the log before its items are all written.
`snapshots` keeps folded states, and `listing` lists all streams. Read `stream_end` first.
"""
