"""Files of JSON lines into a store, commit by commit, safe to repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

from mainstem.errors import ImportConflict, InvalidInput, InvalidLine
from mainstem.jsonlines import decode_line
from mainstem.port import ImportCounts, ImportedEvent, Limits
from mainstem.restoring import check_imported
from mainstem.store import Store
from mainstem.transfer.compression import CutOff, lines

CHUNK: Final = 2000
"""Events that are written in one transaction, unless a single commit has more."""


@dataclass
class ImportSummary:
    """What an import did, also as far as it got before an error."""

    lines: int = 0
    written: int = 0
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
    """Write the file's events into the store; with ``store=None`` only check its lines.

    Consecutive lines of one commit id are written together or not at all. What is in the store
    already is compared and left alone, so importing the same file again changes nothing, and an
    import that was broken off goes on where it was.

    ``name`` is what errors call the file. ``summary`` is counted up as it goes, ``progress`` called
    after each transaction. Raises `InvalidLine` or `ImportConflict` with the line's number; what
    came before its commit is in the store then.
    """
    summary = summary or ImportSummary()
    limits = UNKNOWN_LIMITS if store is None else store.limits
    for chunk in _chunks(_commits(_events(file, name, commit_of)), limits, name):
        if store is None:
            _check(chunk, limits, name)
        else:
            counts = _write(store, chunk, name)
            summary.written += counts.written
            summary.already += counts.already
        summary.lines += len(chunk)
        if progress is not None:
            progress()
    return summary


UNKNOWN_LIMITS: Final = Limits(event_bytes=16 * 1024 * 1024, commit_events=100_000)
"""Those of the embedded store, for checking a file without a store."""

Numbered = tuple[int, ImportedEvent]


def _events(
    file: IO[bytes], name: str, commit_of: Callable[[Any], str] | None
) -> Iterator[Numbered]:
    number = 0
    try:
        for number, line in enumerate(lines(file), 1):
            if not line.strip():
                continue
            try:
                event = decode_line(line, commit_of)
            except InvalidLine as error:
                raise InvalidLine(error.problem, name, number) from error
            yield number, event
    except CutOff as error:
        raise InvalidLine(f"the file is cut off or damaged: {error}.", name, number + 1) from error


def _commits(events: Iterable[Numbered]) -> Iterator[list[Numbered]]:
    """Consecutive events of one commit id. Where the file breaks off, its last commit may be in
    part, so it is not given out.
    """
    commit: list[Numbered] = []
    for numbered in events:
        if commit and commit[-1][1].commit_id != numbered[1].commit_id:
            yield commit
            commit = []
        commit.append(numbered)
    if commit:
        yield commit


def _chunks(
    commits: Iterable[list[Numbered]], limits: Limits, name: str
) -> Iterator[list[Numbered]]:
    """Whole commits, `CHUNK` events or a single larger commit at a time."""
    chunk: list[Numbered] = []
    try:
        for commit in commits:
            if len(commit) > limits.commit_events:
                number, event = commit[0]
                raise InvalidLine(
                    f"commit {event.commit_id!r} begins here and has {len(commit):,} events; the store "
                    f"takes at most {limits.commit_events:,}.",
                    name,
                    number,
                )
            if chunk and len(chunk) + len(commit) > CHUNK:
                yield chunk
                chunk = []
            chunk += commit
    except InvalidLine:
        # The commits before the bad line are good, and shall not wait for the file to be mended.
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _write(store: Store, chunk: list[Numbered], name: str) -> ImportCounts:
    """Write whole commits. Where one of them is refused, those before it are written all the same."""
    try:
        return store.restore([event for _, event in chunk])
    except ImportConflict as conflict:
        place = next(
            place
            for place, (_, event) in enumerate(chunk)
            if (event.stream_id, event.event_id) == (conflict.stream_id, conflict.event_id)
        )
        problem = f"{name}, line {chunk[place][0]}: {conflict.problem}"
        error: Exception = ImportConflict(conflict.stream_id, conflict.event_id, problem)
    except InvalidInput:
        try:
            _check(chunk, store.limits, name)
        except InvalidLine as invalid:
            error = invalid
            place = next(place for place, (number, _) in enumerate(chunk) if number == invalid.line)
        else:
            raise
    begin = place
    while begin and chunk[begin - 1][1].commit_id == chunk[place][1].commit_id:
        begin -= 1
    good = chunk[:begin]
    if good:
        _write(store, good, name)
    raise error


def _check(chunk: list[Numbered], limits: Limits, name: str) -> None:
    """Raise `InvalidLine` for the first event that no store would take."""
    for number, event in chunk:
        try:
            check_imported(limits, event)
        except InvalidInput as error:
            raise InvalidLine(str(error), name, number) from error
