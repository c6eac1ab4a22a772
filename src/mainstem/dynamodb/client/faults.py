"""What a driver throws into an operation where a single attempt failed for reasons that may pass.

None of these reaches the user: `attempts.call` retries them until the operation's deadline, and
then raises one of `mainstem.errors`.
"""

from __future__ import annotations


class Fault(Exception):
    """One attempt failed."""


class NotCarriedOut(Fault):
    """Surely nothing was read or written."""


class Throttled(NotCarriedOut):
    """DynamoDB was asked for more than the table, a partition or the account may do."""


class Conflicted(NotCarriedOut):
    """A transaction was under way on the item (``TransactionConflictException``)."""


class InProgress(Fault):
    """The very same transaction, sent before, is still under way."""


class Unreachable(NotCarriedOut):
    """No connection could be made, so nothing was sent."""


class NoReply(Fault):
    """Sent, and not answered, or with a failure of the server's: perhaps carried out, perhaps not."""
