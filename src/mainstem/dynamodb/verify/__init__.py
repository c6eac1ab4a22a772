"""The verification: does the log have what the events table has? It reads, and changes nothing.

- `quick` compares each stream's cursor with its last event, and walks through the newest part of the log.
- `full` compares every event: first `log_walk` reads the log and checks what it says of itself, then `strays`
  and `full` scan both tables into a `tally`. Then `differences` looks at the streams whose sums differ, by
  `stream_look` event by event. `event_positions` knows which event is at which position.

What they see goes into `findings`, which makes the verdict. `running` is the verification as one call, in
threads. Read `findings`, then `quick`, then `full`.
"""
