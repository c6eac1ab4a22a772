"""What users call, blocking: `Store` and its subscriptions.

`store` and `subscription` are made from the modules of the same names in ``aio/`` by
``scripts/make_blocking.py``; do not edit them here. ``make check`` fails where they differ.

By hand on both sides is what truly differs between threads and tasks: `read_ahead` (the next pages of a
replay), `wakes` (what wakes a waiting reader) and `iteration` (an iteration that notices when it is left).
"""
