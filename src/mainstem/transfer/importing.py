"""Files of JSON lines into a store, commit by commit, safe to repeat."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, Final

from mainstem.blocking.store import Store
from mainstem.errors import ImportConflict, InvalidInput, InvalidLine
from mainstem.port import ImportedEvent, Limits
from mainstem.text.printable import quoted
from mainstem.transfer.contents import CutOff, Unreadable, check_mode, lines
from mainstem.transfer.jsonlines import decode_line
from mainstem.verbs.importing import check_imported

CHUNK: Final = 2000
"""Events that are written in one transaction, unless a single commit has more."""
CHUNK_SIZE: Final = 16 * 1024 * 1024
"""A transaction ends with the commit that brings its events to so many bytes."""


@dataclass
class ImportSummary:
    """What an import did, also as far as it got before an error."""

    lines: int = 0
    """Lines that were read."""
    written: int = 0
    """Events that were not there before."""
    already: int = 0
    """Were there before, with the same contents."""

    def add(self, other: ImportSummary) -> None:
        """Count another file's too."""
        self.lines += other.lines
        self.written += other.written
        self.already += other.already


def import_events(
    store: Store | None,
    file: IO[bytes],
    *,
    name: str,
    commit_of: Callable[[Any], str] | None = None,
    summary: ImportSummary | None = None,
    progress: Callable[[], None] | None = None,
) -> ImportSummary:
    """Write the file's events into the store; with ``store=None`` only check its lines, and that no
    stream has a hole between its first and its last event in the file.

    Consecutive lines of one commit id are written together or not at all; on DynamoDB a commit to
    more streams than a transaction can hold is written by parts. What is in the store already is
    compared and left alone, so importing the same file again changes nothing, and an import that was
    broken off goes on where it was.

    ``name`` is what errors call the file. ``summary`` is counted up as it goes, ``progress`` called
    after each transaction. The file is open as bytes; it may be a pipe. Raises `InvalidLine` or
    `ImportConflict` with the line's number; what came before its commit is in the store then.
    """
    check_mode(file, "rb")
    summary = ImportSummary() if summary is None else summary
    limits = UNKNOWN_LIMITS if store is None else store.limits
    due: dict[str, int] = {}
    for chunk in _chunks(_events(file, name, commit_of), limits, name):
        if store is None:
            _check(chunk, limits, name, due)
            summary.lines += len(chunk)
        else:
            _write(store, chunk, name, summary)
        if progress is not None:
            progress()
    return summary


UNKNOWN_LIMITS: Final = Limits(
    event_bytes=16 * 1024 * 1024, commit_events=100_000, commit_streams=100_000
)
"""Those of the embedded store, for checking a file without a store."""

Numbered = tuple[int, ImportedEvent]


def _events(
    file: IO[bytes], name: str, commit_of: Callable[[Any], str] | None
) -> Iterator[Numbered]:
    number = 0
    try:
        for number, text in lines(file):
            try:
                event = decode_line(text, commit_of)
            except InvalidLine as error:
                raise InvalidLine(error.problem, name, number) from error
            yield number, event
    except CutOff as error:
        raise InvalidLine(f"the file is cut off or damaged: {error}.", name, number + 1) from error
    except Unreadable as error:
        raise InvalidLine(f"{error}.", name, number + 1) from error


def _commits(
    events: Iterable[Numbered], most: int = sys.maxsize, most_bytes: int = sys.maxsize
) -> Iterator[list[Numbered]]:
    """Consecutive events of one commit id. Where the file breaks off, its last commit may be in
    part, so it is not given out. One of over ``most`` events or ``most_bytes`` is given out as soon as
    it is that long.
    """
    commit: list[Numbered] = []
    size = 0
    for numbered in events:
        if commit and (
            commit[-1][1].commit_id != numbered[1].commit_id
            or len(commit) > most
            or size > most_bytes
        ):
            yield commit
            commit, size = [], 0
        commit.append(numbered)
        size += numbered[1].event.size
    if commit:
        yield commit


def _chunks(events: Iterable[Numbered], limits: Limits, name: str) -> Iterator[list[Numbered]]:
    """Whole commits, `CHUNK` events or a single larger commit at a time."""
    chunk: list[Numbered] = []
    size = 0
    try:
        for commit in _commits(events, limits.commit_events, limits.commit_bytes):
            _check_commit(commit, limits, name)
            if chunk and (len(chunk) + len(commit) > CHUNK or size >= CHUNK_SIZE):
                yield chunk
                chunk, size = [], 0
            chunk += commit
            size += _size(commit)
    except InvalidLine:
        # The commits before the bad line are good, and must not wait until the file is corrected.
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _check_commit(commit: list[Numbered], limits: Limits, name: str) -> None:
    """Raise `InvalidLine` for one that no store takes, so that it need not be held any longer."""
    number, event = commit[0]
    if len(commit) > limits.commit_events:
        too_long = f"over {limits.commit_events:,} events"
    elif _size(commit) > limits.commit_bytes:
        too_long = f"over {limits.commit_bytes:,} bytes"
    else:
        return
    raise InvalidLine(
        f"commit {quoted(event.commit_id)} begins here and has {too_long}, the most that the store takes.",
        name,
        number,
    )


def _size(commit: list[Numbered]) -> int:
    return sum(event.event.size for _, event in commit)


def _write(store: Store, chunk: list[Numbered], name: str, summary: ImportSummary) -> None:
    """Write whole commits. Where one of them is refused, those before it are written all the same."""
    try:
        counts = store.import_events([event for _, event in chunk])
    except (ImportConflict, InvalidInput) as error:
        commits = list(_commits(chunk))
        if len(commits) == 1:
            raise _located(error, chunk, store.limits, name) from error
        middle = len(commits) // 2
        for half in (commits[:middle], commits[middle:]):
            _write(store, list(chain.from_iterable(half)), name, summary)
    else:
        summary.add(ImportSummary(len(chunk), counts.written, counts.already))


def _located(
    error: ImportConflict | InvalidInput, commit: list[Numbered], limits: Limits, name: str
) -> Exception:
    """The error with the file's name and the line's number."""
    if isinstance(error, ImportConflict):
        key = (error.stream_id, error.event_id)
        number = max(number for number, event in commit if event[:2] == key)
        return ImportConflict(*key, f"{name}, line {number}: {error.problem}")
    try:
        _check(commit, limits, name, {})
    except InvalidLine as invalid:
        return invalid
    except ImportConflict:
        pass
    return error


def _check(chunk: list[Numbered], limits: Limits, name: str, due: dict[str, int]) -> None:
    """Raise `InvalidLine` for the first event that no store would take, `ImportConflict` for one that
    leaves a hole in its stream. ``due`` holds the next event id of each stream seen.
    """
    for number, event in chunk:
        try:
            check_imported(limits, event)
        except InvalidInput as error:
            raise InvalidLine(str(error), name, number) from error
        stream_id, event_id = event[:2]
        if event_id > due.setdefault(stream_id, event_id):
            raise ImportConflict(
                stream_id,
                event_id,
                f"{name}, line {number}: event {due[stream_id]} of the stream is missing before it.",
            )
        due[stream_id] = max(due[stream_id], event_id + 1)
