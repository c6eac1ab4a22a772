"""The file: one line of JSON for each change, whole or not there.

A change is a list of facts, and is written as one line with one call. A line without its end is what a
process has left that died while it wrote: readers wait for the end of a line, and the next writer cuts such
a rest off. Writers take turns by a lock on the file. Readers need none, since a line never changes.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from mainstem import (
    OutcomeUnknown,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreFormatError,
    StoreNotFound,
)
from mainstem_journal.contents import Contents, Fact

Answer = TypeVar("Answer")

FORMAT: Final = 1
_HEADER: Final = json.dumps({"mainstem-journal": FORMAT})
"""The first line."""


class Journal:
    """An open journal. Safe to share between threads."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._contents = Contents()
        self._read_to = 0
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        if create:
            self._make()
        try:
            self._file: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise StoreNotFound(f"There is no journal at {path}.") from None
        except OSError as error:
            raise StoreError(f"{path} can't be opened: {error.strerror}.") from error
        try:
            self.read(self._check)
        except BaseException:
            self.close()
            raise

    def read(self, work: Callable[[Contents], Answer]) -> Answer:
        """Answer what ``work`` makes of all that is in the file by now."""
        with self._reading:
            self._catch_up()
            return work(self._contents)

    def write(self, work: Callable[[Contents], tuple[list[Fact], Answer]]) -> Answer:
        """Write the facts that ``work`` decides on, and answer what else it says. Nobody writes between
        what it sees and what it decides.
        """
        with self._writing, self._turn() as file:
            facts, answer = self.read(work)
            if facts:
                with self._reading:
                    self._write_line(file, json.dumps(facts, separators=(",", ":")))
            return answer

    def close(self) -> None:
        """Later calls raise `StoreClosed`."""
        with self._writing, self._reading:
            if self._file is not None:
                os.close(self._file)
            self._file = None

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def _make(self) -> None:
        """Write the first line, unless another process was faster."""
        with self._turn() as file:
            there = os.pread(file, len(_HEADER) + 1, 0)
            if _HEADER.encode().startswith(
                there
            ):  # nothing, or what was left of it when a process died
                self._write_line(file, _HEADER)

    def _check(self, _contents: Contents) -> None:
        if self._read_to == 0:
            raise StoreNotFound(f"{self.path} is empty: nobody has begun a journal in it.")

    @contextmanager
    def _turn(self) -> Iterator[int]:
        """Nobody else writes meanwhile. The file is opened for each turn: a lock belongs to what was
        opened, which a process that is forked meanwhile would share.
        """
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreError(f"{self.path} can't be written: {error.strerror}.") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _write_line(self, file: int, line: str) -> None:
        """Behind what was read, where a rest of a line may be that nobody ended."""
        text = f"{line}\n".encode()
        try:
            os.ftruncate(file, self._read_to)
            if os.pwrite(file, text, self._read_to) < len(text):
                raise OSError(0, "there is no room left")
        except OSError as error:
            os.ftruncate(file, self._read_to)
            raise StoreError(
                f"{self.path} can't be written: {error.strerror}. Nothing was written."
            ) from error
        try:
            os.fsync(file)
        except OSError as error:
            problem = f"the disk failed while it was written: {error.strerror}"
            raise OutcomeUnknown(f"the last change of {self.path}", problem) from error

    def _catch_up(self) -> None:
        """Read the lines that have come since. Our own come to us in this way, too."""
        if self._file is None:
            raise StoreClosed
        new = os.fstat(self._file).st_size - self._read_to
        if new <= 0:
            return
        lines = os.pread(self._file, new, self._read_to)
        for line in lines[: lines.rfind(b"\n") + 1].splitlines(keepends=True):
            if self._read_to == 0:
                self._check_header(line)
            else:
                self._add(line)
            self._read_to += len(line)

    def _check_header(self, line: bytes) -> None:
        try:
            header = json.loads(line)
            found = header["mainstem-journal"]
        except (ValueError, KeyError, TypeError):
            raise StoreFormatError(f"{self.path} is not a journal.") from None
        if found != FORMAT:
            raise StoreFormatError(
                f"{self.path} is a journal of format {found!r}; this release reads and writes format "
                f"{FORMAT}."
            )

    def _add(self, line: bytes) -> None:
        try:
            for fact in json.loads(line):
                self._contents.add(*fact)
        except (ValueError, TypeError, KeyError) as error:
            raise StoreDamaged(
                f"{self.path} can't be understood at byte {self._read_to} ({error}). Restore a copy."
            ) from error
