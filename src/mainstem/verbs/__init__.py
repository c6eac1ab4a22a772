"""What the store decides, whatever it is kept in. No I/O: what needs the adapter is a generator, which yields
the adapter's requests and is carried out by ``drive.py``.

- One module for each verb: `append`, `read`, `replay` (the log), `listing`, `importing`, `snapshots`, and
  `handle` (a `decider`'s rules, applied; `foreseen` events are folded before they are written).
- Subscriptions: `options` (how to read), `starts` (from where), `follower` (what was read, handled and
  saved), `outages` (when the store can't be reached), `subscriptions` (how far each of them is).

The stores in ``aio/`` and ``blocking/`` call these. Read `append` and `read` first, then `replay` and
`follower`.
"""
