"""How a run gets on: bars on a terminal, lines elsewhere, nothing for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from mainstem.demo.writers import Tally


class Quiet:
    """Shows nothing."""

    def writers_started(self, shares: Mapping[int, int]) -> None:
        pass

    def replay_began(self, streams: int, events: int) -> None:
        pass

    def progress(self, tallies: Sequence[Tally], written: int, replayed: int) -> None:
        pass

    def __enter__(self) -> Quiet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


class Lines(Quiet):
    """A line for each beginning, and for each tenth that is written."""

    def __init__(self, console: Console, count: int) -> None:
        self._console = console
        self._count = count
        self._tenths = 0

    def writers_started(self, shares: Mapping[int, int]) -> None:
        self._console.print(_started(shares), soft_wrap=True)

    def replay_began(self, streams: int, events: int) -> None:
        self._console.print(_began(streams, events), soft_wrap=True)

    def progress(self, tallies: Sequence[Tally], written: int, replayed: int) -> None:
        tenths = written * 10 // self._count
        if tenths > self._tenths:
            self._tenths = tenths
            conflicts = sum(tally.conflicts for tally in tallies)
            self._console.print(
                f"written {written:>6,}   replayed {replayed:>6,}   conflicts resolved {conflicts:>5,}"
            )


class Bars(Quiet):
    """A bar for each writer, one for what they wrote together, and one for the replay that follows."""

    def __init__(self, console: Console, count: int) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=40, complete_style="cyan", finished_style="green"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            console=console,
        )
        self._count = count
        self._writers: list[TaskID] = []
        self._written: TaskID
        self._replayed: TaskID

    def writers_started(self, shares: Mapping[int, int]) -> None:
        self._console.print(_started(shares))
        self._writers = [
            self._bars.add_task(f"writer {number}", total=share, unit="commits")
            for number, share in enumerate(shares.values(), 1)
        ]
        self._written = self._bars.add_task("[bold]written", total=self._count, unit="events")
        self._replayed = self._bars.add_task(
            "[bold cyan]replayed", total=self._count, unit="events"
        )

    def replay_began(self, streams: int, events: int) -> None:
        self._console.print(_began(streams, events))

    def progress(self, tallies: Sequence[Tally], written: int, replayed: int) -> None:
        for task, tally in zip(self._writers, tallies, strict=True):
            self._bars.update(task, completed=tally.commits_done)
        self._bars.update(self._written, completed=written)
        self._bars.update(self._replayed, completed=replayed)

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()


def _started(shares: Mapping[int, int]) -> str:
    return f"{len(shares)} writers started, processes {', '.join(map(str, shares))}."


def _began(streams: int, events: int) -> str:
    return (
        f"Replay began from position 0: the log has {events:,} events of {streams:,} streams, "
        "and the writers go on."
    )
