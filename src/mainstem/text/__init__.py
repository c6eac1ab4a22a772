"""Text from outside, made fit to be shown: in messages, in logs, on a terminal.

`printable` makes control characters and line breaks visible, and shortens what is long. `redaction` leaves
out the secrets of a URL. Whatever message has a part that a user or another program wrote takes it through
one of them.
"""
