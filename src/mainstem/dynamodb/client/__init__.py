"""Requests to DynamoDB: what operations ask for, and how that is sent, tried again and answered.

1. `requests` has what an operation may ask for; `attempts` asks, and tries again what may pass, until the
   operation's deadline. `faults` are what a driver may throw into it, `trust` how long an answer may be
   used, `holds` the turns that operations of one process take, `context` what they need from the world.
2. `drivers` carries requests out, blocking or on an event loop: `exchange` is one attempt at a request, sent
   by `http_blocking` (with `sockets`) or `http_async` (with `pool` and `transports`). Both share `route` and
   `http_messages`: where connections lead, what is sent, how a reply is read, what a failure means.
3. `encoding` and `write_encoding` make bodies, `decoding` reads replies, `failures` what went wrong.
4. `session` and `settings` say who asks and where, `signing` signs. `botocore` sends by a user's client.

`metering` counts what operations cost. Read `requests`, `attempts` and `drivers` first.
"""
