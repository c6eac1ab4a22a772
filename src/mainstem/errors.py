"""Every error that Mainstem raises on purpose.

::

    MainstemError
    ├── InvalidInput (ValueError)   the call itself is wrong; nothing was written; mend the call
    │   ├── InvalidStreamId
    │   ├── EncodeError             the payload or metadata can't be written down
    │   ├── TooLarge
    │   ├── InvalidLine             a line of a file to be imported is not an event
    │   └── CommitMismatch          the commit id was used for an append of other streams
    ├── VersionConflict             somebody else was first: reload, check the rule again, write again
    ├── TooManyConflicts            `handle` met a conflict at every attempt it was allowed
    ├── OutcomeUnknown              perhaps written, perhaps not: the same call again is safe
    │   └── AppendOutcomeUnknown    an append's: send the same commit id again
    ├── DecodeError                 a stored event is unknown to the codec or no longer fits its type
    ├── PayloadMismatch (TypeError) a payload is of another class than was asked for; mend the call
    ├── PublicationFailed           a target keeps refusing an event: mend the target, or leave the event out
    ├── DeploymentFailed            the stack, or what is deployed with it, was refused
    ├── CheckpointLost              another reader took the subscription over: stop this one
    ├── ImportConflict              a file's event differs from the one that the store has
    ├── DemoFailed                  a process of the demo could not do its share
    └── StoreError                  the store can't be used as it is
        ├── StoreNotFound
        ├── StoreFormatError        not a store, or one of another format version
        ├── StoreBusy               others kept it for the whole deadline, or it was out of reach
        ├── StoreFull               no room
        ├── StoreReadOnly
        ├── StoreDenied             no credentials, or no permission
        ├── StoreRejected           DynamoDB refused a request for a reason that is none of the others
        ├── StoreDamaged
        └── StoreClosed

What is known about writing:

- An append (``append``, ``append_many``, ``handle``) that may have been written raises
  `AppendOutcomeUnknown`. With every other error of this tree nothing of it was written.
- Whatever else writes may have done so in part when it raises a `StoreError` or an
  `OutcomeUnknown`: an import has kept the commits before, a checkpoint or a snapshot may be saved,
  some of the tables may be made. The same call again is safe; it finds what is there.

Each message says what happened, to which stream, and what to do next. The classes and their
attributes are the interface; the wording of the messages may change.
"""

from __future__ import annotations

from mainstem.text.printable import printable, quoted
from mainstem.values.expected import Expected
from mainstem.values.positions import EventId, Position, Version


class MainstemError(Exception):
    """The root of the tree. All of them can be pickled, to be raised in another process.

    The message is one line without a sign that a terminal obeys, whatever is named in it.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))

    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (type(self), self.args, self.__dict__)


class InvalidInput(MainstemError, ValueError):
    """An argument is wrong. Nothing was written; the same call will fail again until it is mended.

    Of a file to be imported, the commits before a line that is wrong are written (`InvalidLine`).
    """


class InvalidStreamId(InvalidInput):
    """A stream id is not text of 1 to 1,024 bytes of UTF-8."""

    def __init__(self, stream_id: object, problem: str) -> None:
        super().__init__(
            f"{quoted(stream_id)} is not a stream id: {problem}. "
            "A stream id is text of 1 to 1,024 bytes of UTF-8."
        )
        self.stream_id = stream_id
        """What was given for one."""


class EncodeError(InvalidInput):
    """An event's payload or metadata can't be written down. Nothing was written."""

    def __init__(self, event_name: object, problem: str) -> None:
        super().__init__(f"Event {quoted(event_name)} can't be encoded: {problem}")
        self.event_name = event_name
        """The event's name."""


class TooLarge(InvalidInput):
    """An event or a commit is beyond the store's limits. Nothing was written."""

    def __init__(self, what: str, size: int, limit: int, unit: str, advice: str) -> None:
        super().__init__(
            f"{what} has {size:,} {unit}; this store takes at most {limit:,}. {advice}"
        )
        self.size = size
        """What was given, in the unit that the message names: bytes, events or streams."""
        self.limit = limit
        """What the store takes at most, in the same unit."""


class InvalidLine(InvalidInput):
    """A line of a file to be imported is not an event.

    Nothing of its commit was written; what was imported before it stays. When the file is mended,
    importing all of it again is safe.
    """

    def __init__(self, problem: str, file: str | None = None, line: int | None = None) -> None:
        place = "The line" if file is None else f"{file}, line {line}"
        super().__init__(f"{place} is not an event to import: {problem}")
        self.problem = problem
        """What is wrong with the line."""
        self.file = file
        """What the file is called; None where it has no name."""
        self.line = line
        """The line's number, from 1; None where it is not known."""


class CommitMismatch(InvalidInput):
    """A commit id that was already used for an append to other streams came back. Nothing was written."""

    def __init__(self, commit_id: str, stream_id: str) -> None:
        super().__init__(
            f"Commit id {quoted(commit_id)} was already used for a commit that is not this one: "
            f"they differ in whether they touch stream {quoted(stream_id)}. "
            "Repeat a commit with the streams and expected versions that it had, "
            "or take a new commit id for a new commit."
        )
        self.commit_id = commit_id
        """The commit id that was used before."""
        self.stream_id = stream_id
        """A stream that only one of the two commits touches."""


class VersionConflict(MainstemError):
    """The stream is not at the expected version. Nothing was written.

    Reload the stream, check the rule again and append with the new version, as
    ``store.handle`` does by itself.
    """

    def __init__(self, stream_id: str, expected: Expected, actual: Version) -> None:
        if not isinstance(expected, int):  # EXISTS; with ANY there is no conflict
            problem = "does not exist, and was expected to. Read it again, and decide again."
        else:
            problem = (
                f"is at version {actual}, not at the expected {expected}. "
                "Read it again, decide again and append with the version that you read."
            )
        super().__init__(f"Stream {quoted(stream_id)} {problem}")
        self.stream_id = stream_id
        """The stream's id."""
        self.expected = expected
        """What the append expected."""
        self.actual = actual
        """The version that the stream has."""


class TooManyConflicts(MainstemError):
    """``handle`` met a version conflict at every attempt. Nothing was written; trying later is safe."""

    def __init__(self, stream_id: str, attempts: int) -> None:
        super().__init__(
            f"Stream {quoted(stream_id)} was changed by others at each of {attempts} attempts to handle "
            "a command. Try again later, allow more attempts, or let fewer writers share the stream."
        )
        self.stream_id = stream_id
        """The stream's id."""
        self.attempts = attempts
        """How often the command was decided."""


class OutcomeUnknown(MainstemError):
    """It can't be told whether something was written. The same call again is safe: what is there
    already is found, and is not written twice.

    ``problem`` says why it can't be told. An append's is an `AppendOutcomeUnknown`.
    """

    def __init__(
        self, what: str, problem: str, advice: str = "Repeat the same call, which is safe."
    ) -> None:
        super().__init__(f"It is not known whether {what} was written ({problem}). {advice}")
        self.problem = problem
        """Why it can't be told."""


class AppendOutcomeUnknown(OutcomeUnknown):
    """It can't be told whether the append took place. Send it again with the same ``commit_id`` and
    the same expected version: safe, it takes effect once. Without the commit id it may take effect twice.
    """

    def __init__(self, stream_id: str, commit_id: str, problem: str) -> None:
        super().__init__(
            f"commit {quoted(commit_id)} to stream {quoted(stream_id)}",
            problem,
            "Append it again with the same commit_id and expected version: it takes effect once.",
        )
        self.stream_id = stream_id
        """The stream's id; of several streams, that of the first."""
        self.commit_id = commit_id
        """The commit id to append with again."""


class DecodeError(MainstemError):
    """A stored event can't be turned into the payload that the codec promises. Nothing was changed.

    ``reason`` says why: an unknown event name, a payload that no longer fits its type, or an
    upcaster that failed or is missing.
    """

    def __init__(self, stream_id: str, event_id: EventId, event_name: str, reason: str) -> None:
        super().__init__(
            f"Event {event_id} of stream {quoted(stream_id)}, {quoted(event_name)}, can't be decoded: "
            f"{reason}"
        )
        self.stream_id = stream_id
        """The stream's id."""
        self.event_id = event_id
        """The event's id in the stream."""
        self.event_name = event_name
        """The event's name."""
        self.reason = reason
        """Why it can't be decoded."""


class PayloadMismatch(MainstemError, TypeError):
    """An event's payload is an object of another class than `RecordedEvent.payload_as` was asked for.

    Nothing was changed. Look at the event's name, or at the class of its ``payload``, before.
    """

    def __init__(
        self, stream_id: str, event_id: EventId, event_name: str, expected: str, actual: str
    ) -> None:
        super().__init__(
            f"Event {event_id} of stream {quoted(stream_id)}, {quoted(event_name)}, has a payload of class "
            f"{actual}, not {expected}. Look at the event's name first, or ask for that class."
        )
        self.stream_id = stream_id
        """The stream's id."""
        self.event_id = event_id
        """The event's id in the stream."""
        self.event_name = event_name
        """The event's name."""
        self.expected = expected
        """The name of the class that was asked for."""
        self.actual = actual
        """The name of the payload's class."""


class CheckpointLost(MainstemError):
    """Another reader has opened the same subscription since, or it was reset or forgotten: this one may no
    longer move its checkpoint.

    Nothing was moved. Stop this reader; the other one goes on from the last checkpoint saved.
    """

    def __init__(self, subscription: str, position: Position) -> None:
        super().__init__(
            f"Subscription {quoted(subscription)} was opened by another reader, or reset, so this one "
            f"can't go on at position {position}. Stop this reader; the other goes on from the last "
            "checkpoint that was saved. Two readers that shall both see every event need two names."
        )
        self.subscription = subscription
        """The subscription's name."""
        self.position = position
        """The position at which it can't go on."""


class PublicationFailed(MainstemError):
    """An event was refused by the target that events are published to, for good or for too long.

    The ``published`` events before it were sent. To try again is safe, and sends no event that was
    sent before it unless the reply to that was lost. ``code`` is the target's; where ``passing`` is
    true the reason may go by itself (throttling, a failure of the target's own, no connection).
    """

    def __init__(
        self,
        target: str,
        stream_id: str,
        event_id: EventId,
        reason: str,
        published: int,
        position: Position | None = None,
        code: str = "",
        passing: bool = False,
    ) -> None:
        place = "" if position is None else f" (position {position})"
        super().__init__(
            f"Event {event_id} of stream {quoted(stream_id)}{place} could not be published to {target}: "
            f"{reason}. Publication stays at it and tries again. Mend what refuses it."
        )
        self.target = target
        """Where it was sent to."""
        self.stream_id = stream_id
        """The stream of the event that was refused."""
        self.event_id = event_id
        """The id of that event in the stream."""
        self.reason = reason
        """Why it was refused."""
        self.published = published
        """How many events before it were sent."""
        self.position = position
        """Its position in the log; None where that is not known."""
        self.code = code
        """The target's code for the reason; empty where it gave none."""
        self.passing = passing
        """Whether the reason may go by itself."""


class DeploymentFailed(MainstemError):
    """A stack could not be made, changed or removed. The message has the reasons that AWS gives.

    Some of its resources may have been changed. The same command again goes on from there.
    """


class ImportConflict(MainstemError):
    """An event to be imported does not fit what the store already has.

    Nothing of its commit was written (on DynamoDB, of the part of it that a transaction holds); what
    was imported before it stays. Importing the same file again ends at the same event.
    """

    def __init__(self, stream_id: str, event_id: EventId, problem: str) -> None:
        super().__init__(
            f"Event {event_id} of stream {quoted(stream_id)} can't be imported: {problem}"
        )
        self.stream_id = stream_id
        """The stream's id."""
        self.event_id = event_id
        """The event's id in the stream."""
        self.problem = problem
        """Why it can't be imported."""


class DemoFailed(MainstemError):
    """A process of the demo could not do its share. What was written before it stays in the demo's store."""


class StoreError(MainstemError):
    """The store can't be used as it is.

    Of an append (``append``, ``append_many``, ``handle``) nothing was written. Anything else that
    writes may have done so in part: see the message, mend the cause, and repeat the call, which is safe.
    """


class StoreNotFound(StoreError):
    """There is no store at that place, or not any more."""


class StoreFormatError(StoreError):
    """What is at that place is not a store, or one of a format version that this release can't use.

    Nothing was changed in it.
    """


class StoreBusy(StoreError):
    """For the whole deadline others kept the store locked, or it was throttled or out of reach.

    Trying again is safe. An append wrote nothing; an import may have written some of its commits, and
    a checkpoint or snapshot may have been saved.
    """


class StoreFull(StoreError):
    """There is no room left. Make room, then trying again is safe.

    An append wrote nothing; an import has kept the commits before.
    """


class StoreReadOnly(StoreError):
    """The store can be read but not written. Nothing was written."""


class StoreDenied(StoreError):
    """There are no credentials, or they do not permit what is asked for, or not any more.

    An append wrote nothing. What takes several requests may have got as far as the one that was
    denied; repeating it with the permission is safe.
    """


class StoreRejected(StoreError):
    """DynamoDB refused a request for a reason that none of the other errors stands for.

    ``code`` is DynamoDB's name for it, such as ``ValidationException``. An append wrote nothing. The
    same call will most likely be refused again.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        """DynamoDB's name for the reason."""


class StoreDamaged(StoreError):
    """What is stored contradicts itself or can't be read. Stop writing and restore a copy."""


class StoreClosed(StoreError):
    """The store was closed, before the call or while it was under way.

    An append wrote nothing; connect again, and trying again is safe.
    """

    def __init__(self) -> None:
        super().__init__("This store is closed. Connect again.")


def _revive(
    kind: type[MainstemError], args: tuple[object, ...], attributes: dict[str, object]
) -> MainstemError:
    """The error that was pickled: its message and attributes, not made from arguments again."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error
