"""The embedded store: one SQLite file, the position given in the append's own transaction.

- What is stored: `rows`, `checkpoints` and `snapshots` each own a table, `schema` makes them.
- What is done with it, in a transaction: `append` (with `repeats`), `read` (with `ranges`), `importing`.
- Who does it: `engine` is one open database. One thread writes (`tickets`, `transactions`, `group_commit`),
  `readers` read, and `alone` does in the caller's thread what needs no other.
- Around it: `open` and `settings` (a URL), `connections`, `files`, `faults`, `fate`, `forks`; `verification`
  checks a file, `upgrading` brings one of an older format to the newest.

`adapter` is the port, put together. Read `rows`, `append` and `read` first, then `engine` and `group_commit`.
"""
