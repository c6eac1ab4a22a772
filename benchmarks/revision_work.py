"""What `benchmarks.revisions` runs in a process of its own, with one revision of the package.

It uses only what both revisions have: `mainstem`'s public names and `mainstem.transfer`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mainstem
from mainstem import NewEvent
from mainstem.transfer import import_events

_STREAMS = 50
_PASSES = 7


def main() -> None:
    """Arguments: the case, the URL of a store, a file of JSON lines, how many events."""
    case, url, file, events = sys.argv[1:]
    wall, cpu, done = CASES[case](Task(url, Path(file), int(events)))
    sys.stdout.write(json.dumps({"events": done, "wall": wall, "cpu": cpu}))


class Task(NamedTuple):
    """What to work on."""

    url: str
    file: Path
    """Of JSON lines."""
    events: int


Measured = tuple[float, float, int]
"""Seconds as they passed, seconds of CPU, events."""


def _append(task: Task) -> Measured:
    """One event after the other, to streams whose versions are known."""
    lines = _lines(task)
    with mainstem.connect(task.url) as store:
        store.append("warm", [lines[0]], expected=0)

        def work() -> int:
            for number, event in enumerate(lines):
                store.append(f"s-{number % _STREAMS}", [event], expected=number // _STREAMS)
            return len(lines)

        return _timed(work)


def _append_async(task: Task) -> Measured:
    """Sixteen tasks on one event loop, each with a stream of its own."""
    lines = _lines(task)
    each = len(lines) // 16

    async def run() -> Measured:
        async with mainstem.connect_async(task.url) as store:
            await store.append("warm", [lines[0]], expected=0)

            async def write(number: int) -> None:
                for version in range(each):
                    event = lines[number * each + version]
                    await store.append(f"s-{number}", [event], expected=version)

            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*map(write, range(16)))
            return time.perf_counter() - wall, time.process_time() - cpu, each * 16

    return asyncio.run(run())


def _read(task: Task) -> Measured:
    """Every stream of a filled store, payloads decoded."""
    with mainstem.connect(task.url) as store:
        streams = [stream.stream_id for stream in store.streams()]
        return _timed(
            lambda: sum(_touch(store.read(stream_id)) for stream_id in streams), passes=_PASSES
        )


def _replay(task: Task) -> Measured:
    """The whole log of a filled store, payloads decoded."""
    with mainstem.connect(task.url) as store:
        return _timed(lambda: _touch(store.read_all()), passes=_PASSES)


def _import(task: Task) -> Measured:
    with mainstem.connect(task.url) as store, task.file.open("rb") as opened:
        return _timed(lambda: import_events(store, opened, name=task.file.name).written)


def _touch(events: Any) -> int:
    found = 0
    for event in events:
        _ = event.payload
        found += 1
    return found


def _lines(task: Task) -> list[NewEvent]:
    with task.file.open("rb") as opened:
        records = [json.loads(line) for line, _ in zip(opened, range(task.events), strict=False)]
    return [NewEvent(record["event_name"], record["payload"]) for record in records]


def _timed(work: Callable[[], int], *, passes: int = 1) -> Measured:
    """The best of several passes, of what can be done more than once: what else runs only makes it slower."""
    return min(_once(work) for _ in range(passes))


def _once(work: Callable[[], int]) -> Measured:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    return time.perf_counter() - wall, time.process_time() - cpu, done


CASES: dict[str, Callable[[Task], Measured]] = {
    "append": _append,
    "append-async": _append_async,
    "read": _read,
    "replay": _replay,
    "import": _import,
}

if __name__ == "__main__":
    main()
