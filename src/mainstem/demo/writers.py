"""The writers: operating system processes that append to one store at the same time."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Final, NamedTuple, cast

import mainstem
from mainstem import NewEvent, Store
from mainstem.demo.data import SourceEvent, load
from mainstem.demo.incidents import RECORDER, RecordChanges
from mainstem.demo.sharing import Commit, share_out
from mainstem.errors import DemoFailed

_REPORT_EVERY: Final = 0.05
"""Seconds between a writer's reports."""


class Tally(NamedTuple):
    """What one writer has done so far."""

    commits_done: int = 0
    """Commits of its share that are written, by it or by the other writer of a pair."""
    events_written: int = 0
    """Events that this writer wrote itself."""
    conflicts: int = 0
    """Version conflicts that it met and resolved: reloaded, decided again."""


# In a writer's process


@dataclass(frozen=True)
class Job:
    """What a writer is told when it is started."""

    url: str
    count: int
    writers: int
    number: int
    reports: Connection
    """Takes a `Tally` now and then and at the end, or text: what went wrong."""
    partners: Mapping[int, Connection]
    """By the number of the pair's first writer, the way to the other one."""


def write_share(job: Job) -> None:
    """The whole life of a writer."""
    share = share_out(load(job.count), job.writers)[job.number]
    tally = Tally()
    reported = time.monotonic()
    try:
        with mainstem.connect(job.url) as store:
            for commit, meeting in share:
                if meeting is None:
                    done = append(store, commit)
                else:
                    meet(job.partners[meeting])
                    done = record(store, commit)
                tally = Tally(*map(sum, zip(tally, done, strict=True)))
                if time.monotonic() - reported > _REPORT_EVERY:
                    job.reports.send(tally)
                    reported = time.monotonic()
        job.reports.send(tally)
    except (EOFError, ConnectionError):
        pass  # the main process or the other writer of a pair has died, which is not for us to tell
    except Exception as error:
        job.reports.send(f"{type(error).__name__}: {error}")


def meet(partner: Connection) -> None:
    """Wait until both writers of a pair are here, so that they go on at the same moment."""
    partner.send_bytes(b"here")
    partner.recv_bytes()


def append(store: Store, commit: Commit) -> Tally:
    """Append what this writer alone writes: the stream must have exactly the expected version."""
    store.append(commit.stream_id, new_events(commit), expected=commit.expected)
    return Tally(1, len(commit.events))


def record(store: Store, commit: Commit) -> Tally:
    """Record what another writer is about to record as well: decided again after a conflict."""
    command = RecordChanges(commit.expected, new_events(commit))
    handled = store.handle(RECORDER, commit.stream_id, command)
    return Tally(1, len(handled.events), handled.conflicts)


def new_events(commit: Commit) -> list[NewEvent]:
    """The commit's events; the time when the change was saved goes along as metadata."""
    return [
        NewEvent(event.event_name, event.payload, {"saved_at": event.recorded_at})
        for event in commit.events
    ]


# In the main process


class Writers:
    """All writers, as the main process sees them. Leaving the context stops those that still run."""

    def __init__(self, url: str, source: Sequence[SourceEvent], writers: int) -> None:
        self.tallies = [Tally()] * writers
        # Spawned, not forked: each writer opens the store by its URL, as any other program would.
        context = get_context("spawn")
        reports = [context.Pipe(duplex=False) for _ in range(writers)]
        pairs = [context.Pipe() for _ in range(writers)]
        jobs = [
            Job(
                url=url,
                count=len(source),
                writers=writers,
                number=number,
                reports=reports[number][1],
                partners={number: pairs[number][0], (number - 1) % writers: pairs[number - 1][1]},
            )
            for number in range(writers)
        ]
        self._processes = [
            context.Process(target=write_share, args=(job,), daemon=True) for job in jobs
        ]
        with _interrupts_ignored():
            for process in self._processes:
                process.start()
        # Only the writers may hold their ends, or nobody would notice when one of them dies.
        for pipe in (*(sender for _, sender in reports), *(end for pair in pairs for end in pair)):
            pipe.close()
        self._running = {receiver: number for number, (receiver, _) in enumerate(reports)}
        self.shares = {
            process.pid or 0: len(share)
            for process, share in zip(self._processes, share_out(source, writers), strict=True)
        }
        """By process id, how many commits each writer has to do."""

    @property
    def finished(self) -> bool:
        return not self._running

    def hear(self, timeout: float) -> None:
        """Take in the reports of up to ``timeout`` seconds. Raises `DemoFailed`."""
        if not self._running:
            time.sleep(timeout)
        for pipe in wait(list(self._running), timeout):
            pipe = cast("Connection", pipe)
            number = self._running[pipe]
            try:
                report = pipe.recv()
            except (EOFError, ConnectionError):
                self._end(pipe)
                continue
            if isinstance(report, str):
                raise self._failure(number, report)
            self.tallies[number] = report

    def __enter__(self) -> Writers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
            process.close()
        for pipe in self._running:
            pipe.close()

    def _end(self, pipe: Connection) -> None:
        number = self._running.pop(pipe)
        pipe.close()
        process = self._processes[number]
        process.join()
        if process.exitcode:
            raise self._failure(number, f"it died with exit code {process.exitcode}")

    def _failure(self, number: int, problem: str) -> DemoFailed:
        process = self._processes[number]
        return DemoFailed(
            f"Writer {number + 1} (process {process.pid}) failed after "
            f"{self.tallies[number].events_written:,} events: {problem.removesuffix('.')}."
        )


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started within ignore Ctrl-C for life: the main process stops them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
