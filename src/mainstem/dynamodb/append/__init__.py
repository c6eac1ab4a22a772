"""Writing commits. Read `appender` first: it is one append from its beginning to its end.

1. `stream_versions` finds out at which versions to write, by what is known of the streams or by a look.
2. With its place in the log (transactional sequencing), `with_log` writes the commit at the head, together
   with those that wait (`partition_queue`). Without it (stream sequencing), `without_log` does.
3. `commits` makes the transaction; `pending` says what was sent, and what refused it.
4. `refusals` says what a refusal means: a conflict, a repeat (found by `repeats`), or to try again.

**What happens when a put's reply is lost?** Each try is noted in `pending.InAir` before it is sent.
``attempts`` (in ``client/``) sends it again; every item is put on condition that it is not there, so it
takes effect once. Where the first try was carried out, the next one is refused, and `refusals` finds by the
commit id of what is in the way that it was our own: that is success. Where time runs out, `reading_back`
looks what became of the commit, and raises `AppendOutcomeUnknown` only if that can't be told. `tries` holds
what is known meanwhile.

`importing` writes events that have their ids already.
"""
