"""A store's file with single bits flipped, and everything that can be asked of it."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import mainstem
from mainstem import (
    ANY,
    Append,
    Decider,
    MainstemError,
    NewEvent,
    RecordedEvent,
    Snapshots,
    Store,
)
from mainstem.port import ImportedEvent
from mainstem.sqlite.verification import verify_file
from mainstem.transfer.jsonlines import encode_line
from mainstem.values.events import EncodedEvent
from mainstem.values.positions import EventId
from sqlite_help import new, url_of

EARLY: Final = datetime(2020, 1, 1, tzinfo=UTC)

counting: Decider[int, str] = Decider(
    lambda: 0,
    lambda state, event: state + len(str(event.payload)),
    lambda command, state: new(command),
    Snapshots(every=3, schema="size", type=int),
)


def build(path: Path) -> None:
    """A store with a little of everything."""
    with mainstem.connect(url_of(path, synchronous="NORMAL")) as store:
        for number in range(12):
            stream_id = f"order-{number}"
            events = [
                NewEvent("OrderPlaced", {"total": number, "text": "é" * number}, {"by": "Ada"}),
                NewEvent("OrderPaid", [number, None, 1.5]),
            ]
            store.append(stream_id, events, expected=0, commit_id=f"request-{number}")
            store.handle(counting, stream_id, "x" * 300, commit_id=f"command-{number}")
            store.append(stream_id, new(number), expected=3)
        store.append_many([Append("a", new(1, 2), 0), Append("b", new(3), 0)], commit_id="both")
        store.append("large", new("x" * 9_000), expected=0)  # on pages of its own
        for name in ("invoices", "mails"):
            for _ in store.subscribe(name, live=False):
                pass


USES: dict[str, Callable[[Store], Any]] = {
    "status": lambda store: store.status()[1:5],
    "head": lambda store: store.head(),
    "streams": lambda store: list(store.streams()),
    "a category": lambda store: list(store.streams(category="order")),
    "checkpoints": lambda store: store.checkpoints(),
    "read": lambda store: [touch(store.read(f"order-{n}")) for n in range(12)],
    "read backwards": lambda store: touch(store.read("order-3", backwards=True)),
    "read large": lambda store: touch(store.read("large")),
    "version": lambda store: [store.version(f"order-{n}") for n in range(12)],
    "read_all": lambda store: touch(store.read_all()),
    "read_all filtered": lambda store: touch(store.read_all(category="order", names=["OrderPaid"])),
    "read_all from a time": lambda store: touch(store.read_all(from_time=EARLY)),
    "export": lambda store: [encode_line(event) for event in store.read_all()],
    "subscribe": lambda store: touch(store.subscribe("invoices", live=False)),
    "subscribe anew": lambda store: touch(store.subscribe("new", live=False)),
    "forget": lambda store: store.forget_subscription("mails"),
    "handle": lambda store: [store.handle(counting, f"order-{n}", "y") for n in range(12)],
    "handle again": lambda store: [
        store.handle(counting, f"order-{n}", "y", commit_id=f"command-{n}") for n in range(12)
    ],
    "append": lambda store: store.append("order-1", new(1), expected=ANY),
    "append at a version": lambda store: store.append("order-2", new(1), expected=4),
    "append again": lambda store: [
        store.append(f"order-{n}", new(1, 2), expected=expected, commit_id=f"request-{n}")
        for n in range(12)
        for expected in (0, ANY)
    ],
    "append many": lambda store: store.append_many(
        [Append("a", new(1, 2), 0), Append("b", new(3), 0)], commit_id="both"
    ),
    "import_events": lambda store: store.import_events(imported()),
}
"""By name; those that write come last."""


class Flipped(NamedTuple):
    """What became of a store with one bit flipped."""

    seed: int
    byte: int
    told: frozenset[str]
    """The uses that raised an error of ours."""
    foreign: list[str]
    """Tracebacks of all other errors."""
    unnoticed: bool
    """Whether a use that reads answered something else without an error."""
    quick: bool
    """Whether the quick check found damage."""
    full: bool
    """Whether the full one did."""


READING = list(USES)[: list(USES).index("handle")]


def flip(source: Path, folder: Path, seed: int, answers: dict[str, Any]) -> Flipped:
    """Flip the seed's bit in a copy, and use that for everything."""
    data = bytearray(source.read_bytes())
    place = random.Random(seed).randrange(8 * len(data))
    data[place // 8] ^= 1 << place % 8
    path = folder / f"flipped-{seed}.db"
    path.write_bytes(data)
    told: set[str] = set()
    foreign: list[str] = []
    unnoticed = False
    quick = full = False

    def use(name: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except MainstemError:
            told.add(name)
        except Exception:
            foreign.append(f"seed {seed}, byte {place // 8}, {name}: {traceback.format_exc()}")
        return None

    for kind in (False, True):
        found = use(f"verify, full={kind}", lambda kind=kind: verify_file(url_of(path), full=kind))  # type: ignore[misc]
        damaged = found is None or found.verdict == "damaged"
        quick, full = (damaged, full) if not kind else (quick, damaged)
    store = use("connect", lambda: mainstem.connect(url_of(path, synchronous="NORMAL", timeout=1)))
    if store is not None:
        for name, work in USES.items():
            answer = use(name, partial(work, store))
            if name in READING and name not in told and answer != answers[name]:
                unnoticed = True
        use("close", store.close)
    for left in folder.glob(f"flipped-{seed}.db*"):
        left.unlink()
    return Flipped(seed, place // 8, frozenset(told), foreign, unnoticed, quick, full)


def answers_of(path: Path) -> dict[str, Any]:
    """What the uses that read answer where nothing is wrong."""
    copy = path.with_name("answers.db")
    copy.write_bytes(path.read_bytes())
    with mainstem.connect(url_of(copy)) as store:
        return {name: USES[name](store) for name in READING}


def touch(events: Iterable[RecordedEvent]) -> list[Any]:
    """Everything that an event has."""
    return [
        (event, event.payload, event.metadata, event.recorded_at, event.position, repr(event))
        for event in events
    ]


def imported() -> list[ImportedEvent]:
    """Events that are there already."""
    return [
        ImportedEvent(f"order-{n}", EventId(3), EncodedEvent("Counted", str(n), None), 0, "other")
        for n in range(12)
    ]
