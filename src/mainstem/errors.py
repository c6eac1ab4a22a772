"""Every error that Mainstem raises on purpose.

::

    MainstemError
    ├── InvalidInput (ValueError)   the call itself is wrong; nothing was written; correct the call
    │   ├── InvalidStreamId
    │   ├── EncodeError             the payload or metadata can't be written down
    │   ├── TooLarge
    │   ├── InvalidLine             a line of a file to be imported is not an event
    │   └── CommitMismatch          the commit id was used for an append of other streams
    ├── VersionConflict             somebody else was first: reload, check the rule again, write again
    ├── TooManyConflicts            `handle` got a conflict at every attempt
    ├── OutcomeUnknown              perhaps written, perhaps not: repeating the call is safe
    │   └── AppendOutcomeUnknown    of an append: send it again with the same commit id
    ├── DecodeError                 a stored event is unknown to the codec or no longer fits its type
    ├── PayloadMismatch (TypeError) a payload is of another class than you asked for; correct the call
    ├── PublicationFailed           a target refuses an event: correct the target, or leave the event out
    ├── DeploymentFailed            AWS refused the stack, or a part of it
    ├── CheckpointLost              another reader took over the subscription: stop this one
    ├── ImportConflict              an event of a file differs from the one in the store
    ├── DemoFailed                  a process of the demo failed
    └── StoreError                  the store can't be used as it is
        ├── StoreNotFound
        ├── StoreFormatError        not a store, or one of another format version
        ├── StoreBusy               locked by others, or out of reach, until the deadline
        ├── StoreFull               no room
        ├── StoreReadOnly
        ├── StoreDenied             no credentials, or no permission
        ├── StoreRejected           DynamoDB refused a request for another reason
        ├── StoreDamaged
        └── StoreClosed

What is known about writing:

- If an append (``append``, ``append_many``, ``handle``) may have been written, it raises
  `AppendOutcomeUnknown`. After every other error of this tree, nothing of it was written.
- Other calls that write may have written a part when they raise a `StoreError` or an
  `OutcomeUnknown`: an import has kept its earlier commits, a checkpoint or a snapshot may be saved,
  some tables may be created. Repeating the call is safe: it finds what is there.

Each message says what happened, to which stream, and what to do next. The classes and their
attributes are the interface; the wording of the messages may change.
"""

from __future__ import annotations

from mainstem.text.printable import printable, quoted
from mainstem.values.expected import Expected
from mainstem.values.positions import EventId, Position, Version


class MainstemError(Exception):
    """The root of the tree. All errors can be pickled, to be raised in another process.

    The message is one line without control characters, whatever names are in it.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))

    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (type(self), self.args, self.__dict__)


class InvalidInput(MainstemError, ValueError):
    """An argument is wrong. Nothing was written. The same call fails again until you correct it.

    An import has written the commits before a wrong line of its file (`InvalidLine`).
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
    """An event's payload or metadata can't be encoded without loss. Nothing was written."""

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

    Nothing of its commit was written; earlier commits stay imported. After you have corrected the
    file, importing all of it again is safe.
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
    """The commit id was already used for an append to other streams. Nothing was written."""

    def __init__(self, commit_id: str, stream_id: str) -> None:
        super().__init__(
            f"Commit id {quoted(commit_id)} was already used for another commit: "
            f"only one of the two writes to stream {quoted(stream_id)}. "
            "To repeat a commit, give the same streams and expected versions. "
            "For a new commit, use a new commit id."
        )
        self.commit_id = commit_id
        """The commit id that was used before."""
        self.stream_id = stream_id
        """A stream that only one of the two commits writes to."""


class VersionConflict(MainstemError):
    """The stream is not at the expected version. Nothing was written.

    Reload the stream, check the rule again and append with the new version, as
    ``store.handle`` does by itself.
    """

    def __init__(self, stream_id: str, expected: Expected, actual: Version) -> None:
        if not isinstance(expected, int):  # EXISTS; with ANY there is no conflict
            problem = "does not exist, but was expected to. Read it again and decide again."
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
    """``handle`` got a version conflict at every attempt. Nothing was written; trying again later is safe."""

    def __init__(self, stream_id: str, attempts: int) -> None:
        super().__init__(
            f"Other writers changed stream {quoted(stream_id)} at each of {attempts} attempts to handle "
            "a command. Try again later, allow more attempts, or have fewer writers for the stream."
        )
        self.stream_id = stream_id
        """The stream's id."""
        self.attempts = attempts
        """How often the command was decided."""


class OutcomeUnknown(MainstemError):
    """It is not known whether something was written. Repeating the call is safe: it finds what is
    there already, and does not write it twice.

    ``problem`` says why it is not known. Appends raise `AppendOutcomeUnknown`.
    """

    def __init__(
        self, what: str, problem: str, advice: str = "Repeat the same call, which is safe."
    ) -> None:
        super().__init__(f"It is not known whether {what} was written ({problem}). {advice}")
        self.problem = problem
        """Why it can't be told."""


class AppendOutcomeUnknown(OutcomeUnknown):
    """It is not known whether the append took place. Send it again with the same ``commit_id`` and
    the same expected version: it is written once. Without the commit id it may be written twice.
    """

    def __init__(self, stream_id: str, commit_id: str, problem: str) -> None:
        super().__init__(
            f"commit {quoted(commit_id)} to stream {quoted(stream_id)}",
            problem,
            "Append it again with the same commit_id and expected version: it is written once.",
        )
        self.stream_id = stream_id
        """The stream's id; of several streams, that of the first."""
        self.commit_id = commit_id
        """The commit id to append with again."""


class DecodeError(MainstemError):
    """The codec can't decode a stored event. Nothing was changed.

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
    """Another reader has opened the same subscription, or it was reset or forgotten: this reader may no
    longer move its checkpoint.

    The checkpoint was not moved. Stop this reader; the other one goes on from the last saved checkpoint.
    """

    def __init__(self, subscription: str, position: Position) -> None:
        super().__init__(
            f"Subscription {quoted(subscription)} was opened by another reader, or reset, so this one "
            f"can't go on at position {position}. Stop this reader; the other goes on from the last "
            "saved checkpoint. If two readers must both see every event, give them two names."
        )
        self.subscription = subscription
        """The subscription's name."""
        self.position = position
        """The position at which it can't go on."""


class PublicationFailed(MainstemError):
    """The target of a publication refused an event, for good or for too long.

    The ``published`` events before it were sent. Trying again is safe; it sends an earlier event
    again only if the reply for it was lost. ``code`` is the target's. If ``passing`` is
    true, the reason may pass by itself (throttling, a failure of the target, no connection).
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
            f"{reason}. The publisher stays at this event and tries again. Correct what refuses it."
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
    """A stack could not be created, changed or deleted. The message has the reasons that AWS gives.

    Some of its resources may have been changed. The same command continues from there.
    """


class ImportConflict(MainstemError):
    """An event to be imported does not fit what the store already has.

    Nothing of its commit was written (on DynamoDB, nothing of the part that is in the same
    transaction); earlier commits stay imported. Importing the same file again stops at the same event.
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
    """A process of the demo failed. What was written before stays in the demo's store."""


class StoreError(MainstemError):
    """The store can't be used as it is.

    An append (``append``, ``append_many``, ``handle``) wrote nothing. Other calls that
    write may have written a part: read the message, remove the cause, and repeat the call, which is safe.
    """


class StoreNotFound(StoreError):
    """There is no store at that place, or it is gone."""


class StoreFormatError(StoreError):
    """What is at that place is not a store, or has a format version that this release can't use.

    Nothing was changed in it.
    """


class StoreBusy(StoreError):
    """Until the deadline others kept the store locked, or it was throttled or out of reach.

    Trying again is safe. An append wrote nothing; an import may have written some of its commits, and
    a checkpoint or snapshot may have been saved.
    """


class StoreFull(StoreError):
    """There is no room left. Make room and try again, which is safe.

    An append wrote nothing; an import has kept its earlier commits.
    """


class StoreReadOnly(StoreError):
    """The store can be read but not written. Nothing was written."""


class StoreDenied(StoreError):
    """There are no credentials, or they do not permit the operation, or they have expired.

    An append wrote nothing. A call that needs several requests may have done those before the one that
    was denied; repeating it with the permission is safe.
    """


class StoreRejected(StoreError):
    """DynamoDB refused a request for a reason that no other error describes.

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
    """The store was closed, before the call or during it.

    An append wrote nothing. Connect again and repeat the call, which is safe.
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
