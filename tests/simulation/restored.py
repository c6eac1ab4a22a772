"""A restore that brings each kind of item from another moment, and a repair of it as the command does it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.items import Item, Key
from mainstem.dynamodb.items.block_items import columns_of, is_emptied
from mainstem.dynamodb.items.layout import CURSOR, LOG, MARKER, SEGMENT, Layout, marker_key
from mainstem.dynamodb.repair.options import RepairOptions
from mainstem.dynamodb.repair.progress import RepairProgress
from mainstem.dynamodb.repair.run import RepairRun
from mainstem.dynamodb.verify.findings import Verdict
from mainstem.errors import TooLarge
from mainstem.port import Op, StreamWrite
from mainstem.values.expected import ANY
from simulation.database import Database
from simulation.driver import CALM, Process, Simulation
from simulation.history import History
from simulation.verifying import full_check, quick_check

if TYPE_CHECKING:
    from simulation.scenario import World

Moment = dict[str, dict[Key, Item]]
_PARTS = ("events", "log", "cursors", "marks", "markers")
_KINDS = {
    LOG: "log",
    SEGMENT: "log",
    CURSOR: "cursors",
    "partition": "marks",
    MARKER: "markers",
}


def command(
    adapter: DynamoAdapter, layout: Layout, context: Context, luck: random.Random
) -> Op[RepairProgress]:
    """A repair from its beginning to its end, as `mainstem repair` runs it with one thread."""
    options = RepairOptions(
        segments=luck.choice((1, 2)),
        restart=luck.random() < 0.3,
        page_items=luck.choice((None, 2, 10)),
        rebuild=True,
    )
    with closing(RepairRun(adapter, layout, context, options)) as run:
        yield from run.begin()
        yield from run.read_log()
        yield from run.rebuild()
        yield from run.work()
        done: RepairProgress = yield from run.finish()
        return done


def moment(world: World) -> Moment:
    """What the tables have now, by what may come from another moment."""
    parts: Moment = {name: {} for name in _PARTS}
    for key, states in world.database.rows(world.layout.events).items.items():
        parts["events"][key] = states[-1].item
    for key, states in world.database.rows(world.layout.log).items.items():
        part = _KINDS.get(key.hash.partition("#")[0])
        if part is not None:
            parts[part][key] = states[-1].item
    return parts


def check_restored(world: World, moments: list[Moment]) -> None:
    """Tables of parts of these moments are sound after a repair, have all events of either, and know which
    commits they have.
    """
    luck, layout, history = world.random, world.layout, world.history
    chosen = {name: luck.choice(moments)[name] for name in _PARTS}
    database = Database(random.Random(luck.getrandbits(32)), lag=0.05)
    for table in (layout.events, layout.log):
        database.add_table(table.name)
    for name, items in chosen.items():
        for key, item in items.items():
            table = layout.events if name == "events" else layout.log
            database.rows(table).write(key, dict(item), 0.0)
    simulation = Simulation(luck.getrandbits(32), database, CALM, 50_000)
    simulation.trace = world.simulation.trace
    context = Context(
        simulation.new_lock,
        simulation.clock_us,
        lambda: simulation.now,
        random.Random(luck.getrandbits(32)),
    )
    adapter = DynamoAdapter("dynamodb://sim", layout, context, bounds=world.bounds)
    lost = _lost(adapter, chosen)
    marked = replace(layout, marked=True)
    repaired = DynamoAdapter("dynamodb://sim", marked, context, bounds=world.bounds)
    for operation in (
        # Of those that have a marker: it may be of a commit that the events table never had.
        _find_commits(adapter, database, history, chosen["markers"]),
        _repair_and_verify(adapter, layout, context, luck, history, lost),
        _find_commits(repaired, database, history, None),
        _repeat(repaired, database, history, luck, lost),
    ):
        simulation.start(Process(93), operation, _ended)
        simulation.run()
    history.counts["restored"] += 1


def _find_commits(
    adapter: DynamoAdapter,
    database: Database,
    history: History,
    only: Mapping[Key, Item] | None,
) -> Op[None]:
    """What is found of each commit is what the events table has."""
    for commit_id, commit in history.commits.items():
        for stream_id in (write.stream_id for write in commit.writes):
            if only is not None and marker_key(stream_id, commit_id) not in only:
                continue
            there = _first_of(adapter, database, stream_id, commit_id)
            result = yield from adapter.find_commit(stream_id, commit_id)
            told = None if result is None else result.first_event_id
            history.expect("restore", told == there, f"{commit_id} in {stream_id}: {told}, {there}")


def _first_of(
    adapter: DynamoAdapter, database: Database, stream_id: str, commit_id: str
) -> int | None:
    """Where the events table has the commit."""
    states = database.rows("sim-events").by_hash.get(stream_id, {})
    for placed in (adapter.items.place(history[-1].item) for history in states.values()):
        if placed.commit_id == commit_id and placed.event_id == placed.commit_first:
            return placed.event_id
    return None


def _repeat(
    adapter: DynamoAdapter,
    database: Database,
    history: History,
    luck: random.Random,
    lost: set[str],
) -> Op[None]:
    """Commits come again: what a restore has taken is written, once, and nothing else is."""
    singles = [
        (commit_id, commit.writes[0])
        for commit_id, commit in history.commits.items()
        if len(commit.writes) == 1 and commit.writes[0].stream_id not in lost
    ]
    luck.shuffle(singles)
    # Those first whose marker may be left without its event.
    singles.sort(
        key=lambda each: _first_of(adapter, database, each[1].stream_id, each[0]) is not None
    )
    for commit_id, (stream_id, events, _) in singles[:3]:
        write, version = StreamWrite(stream_id, events, ANY), adapter.version(stream_id)
        before = _first_of(adapter, database, stream_id, commit_id)
        at: int = yield from version
        for repeated in (before is not None, True):
            try:
                (result,) = yield from adapter.append([write], commit_id, may_repeat=True)
            except TooLarge:
                break  # as it was before, unless it was put without the log's items
            first = at if before is None else before
            told = result.first_event_id, result.repeated
            history.expect("restore", told == (first, repeated), f"{commit_id}: {result} at {at}")
        history.counts["repeated after a restore"] += 1


def _repair_and_verify(
    adapter: DynamoAdapter,
    layout: Layout,
    context: Context,
    luck: random.Random,
    history: History,
    lost: set[str],
) -> Op[None]:
    done = yield from command(adapter, layout, context, luck)
    told = (set(done.holes), done.problems)
    history.expect("restore", told == (lost, ()), f"after a restore: {told}, lost: {lost}")
    history.counts["put right"] += done.rebuilt
    history.counts["put back"] += done.put_back
    history.counts["marked again"] += done.markers
    for check in (full_check, quick_check):
        found = yield from check(layout, context)
        sound = found.verdict is Verdict.COMPLETE
        history.expect(
            "restore", sound or bool(lost), f"repaired: {[each.what for each in found.kept]}"
        )


def _lost(adapter: DynamoAdapter, chosen: Moment) -> set[str]:
    """Streams of which only a log of another moment has the rest of a large commit."""
    in_log: dict[str, int] = {}
    for item in chosen["log"].values():
        if not is_emptied(item):
            for stream_id, event_id in columns_of(item).ids():
                in_log[stream_id] = max(event_id + 1, in_log.get(stream_id, 0))
    events: dict[str, list[int]] = {}
    promised: dict[str, int] = {}
    for key, item in chosen["events"].items():
        events.setdefault(key.hash, []).append(key.sort)
        version = adapter.items.place(item).version
        promised[key.hash] = max(version, promised.get(key.hash, 0))
    return {
        stream_id
        for stream_id, ids in events.items()
        if len(ids) < promised[stream_id] and in_log.get(stream_id, 0) < promised[stream_id]
    }


def _ended(_: Any, error: BaseException | None) -> None:
    if error is not None:
        raise error
