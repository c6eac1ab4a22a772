"""What group commit gains: appends of many threads and tasks beside those of one thread, in one run."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

import mainstem
from benchmarks.compare import Comparison, compare
from benchmarks.data import fresh_file
from mainstem import NewEvent

APPENDS = {"FULL": 2_000, "NORMAL": 8_000}
EVENT = NewEvent("Counted", {"number": 1, "text": "abc"})


def report(console: Console) -> None:
    table = Table(title="Appends at the same time, against one thread", title_justify="left")
    for heading in ("", "appends/s", "one thread, appends/s", "ratio", "least-most"):
        table.add_column(heading, justify="right" if heading else "left")
    for synchronous in APPENDS:
        for found in _comparisons(synchronous):
            rate, one = f"{found.rate:,.0f}", f"{found.plain_rate:,.0f}"
            table.add_row(found.what, rate, one, f"{found.ratio:.2f}", found.spread)
    console.print(table)


def _comparisons(synchronous: str) -> list[Comparison]:
    count = APPENDS[synchronous]
    found = []
    for width in (16, 100):
        each = count // width

        def threads(width: int = width, each: int = each) -> None:
            _threads(synchronous, width, each)

        def tasks(width: int = width, each: int = each) -> None:
            _tasks(synchronous, width, each)

        def one(width: int = width, each: int = each) -> None:
            _threads(synchronous, 1, width * each)

        for what, ours in (("threads", threads), ("tasks", tasks)):
            name = f"{width} {what}, synchronous={synchronous}"
            found.append(compare(name, width * each, ours, one, runs=3))
    return found


def _threads(synchronous: str, width: int, each: int) -> None:
    with fresh_file() as path, mainstem.connect(_url(path, synchronous)) as store:

        def work(number: int) -> None:
            for version in range(each):
                store.append(f"s-{number}", [EVENT], expected=version)

        with ThreadPoolExecutor(width) as pool:
            list(pool.map(work, range(width)))


def _tasks(synchronous: str, width: int, each: int) -> None:
    async def main(path: Path) -> None:
        async with mainstem.connect_async(_url(path, synchronous)) as store:

            async def work(number: int) -> None:
                for version in range(each):
                    await store.append(f"s-{number}", [EVENT], expected=version)

            await asyncio.gather(*(work(number) for number in range(width)))

    with fresh_file() as path:
        asyncio.run(main(path))


def _url(path: Path, synchronous: str) -> str:
    return f"sqlite:///{path}?synchronous={synchronous}"
