"""What users call, for asyncio: `AsyncStore` and its subscriptions.

`store` has a method for each verb: it checks what it is given with the decisions in ``verbs/``, and has the
adapter's operations carried out. `subscription` follows the log. Both are the source from which
``scripts/make_blocking.py`` makes the modules of the same names in ``blocking/``: edit them here, then run
``make format``.

By hand on both sides is what truly differs between tasks and threads: `read_ahead` (the next pages of a
replay), `wakes` (what wakes a waiting reader) and `iteration` (an iteration that notices when it is left).
Read `store` first.
"""
