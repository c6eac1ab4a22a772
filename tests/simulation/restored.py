"""A restore that brings each kind of item from another moment, and a repair of it as the command does it."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.context import Context
from mainstem.dynamodb.findings import Verdict
from mainstem.dynamodb.layout import CURSOR, LOG, SEGMENT, Layout
from mainstem.dynamodb.repair_run import Progress, RepairOptions, RepairRun
from mainstem.dynamodb.requests import Item, Key
from mainstem.port import Op
from simulation.database import Database
from simulation.driver import CALM, Process, Simulation
from simulation.history import History
from simulation.verifying import full_check, quick_check

if TYPE_CHECKING:
    from simulation.scenario import World

Moment = dict[str, dict[Key, Item]]
_PARTS = ("events", "log", "cursors", "marks")
_KINDS = {LOG: "log", SEGMENT: "log", CURSOR: "cursors", "partition": "marks"}


def command(
    adapter: DynamoAdapter, layout: Layout, context: Context, luck: random.Random
) -> Op[Progress]:
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
        done: Progress = yield from run.finish()
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
    """Tables of parts of these moments are sound after a repair, and have all events of either."""
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
    simulation.start(
        Process(93), _repair_and_verify(adapter, layout, context, luck, history), _ended
    )
    simulation.run()
    history.counts["restored"] += 1


def _repair_and_verify(
    adapter: DynamoAdapter,
    layout: Layout,
    context: Context,
    luck: random.Random,
    history: History,
) -> Op[None]:
    done = yield from command(adapter, layout, context, luck)
    told = {**done.holes, **dict(enumerate(done.problems))}
    history.expect("restore", not told, f"after a restore: {told}")
    history.counts["put right"] += done.rebuilt
    history.counts["put back"] += done.put_back
    for check in (full_check, quick_check):
        found = yield from check(layout, context)
        sound = found.verdict is Verdict.COMPLETE
        history.expect("restore", sound, f"repaired: {[each.what for each in found.kept]}")


def _ended(_: Any, error: BaseException | None) -> None:
    if error is not None:
        raise error
