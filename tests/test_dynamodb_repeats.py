"""A repeat by a caller's own commit id is recognised by a marker, at the same cost in every stream."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import pytest

import mainstem.dynamodb.append.repeats
import mainstem.dynamodb.items.layout
import mainstem.dynamodb.items.marker_item
from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.items import Item, Key
from mainstem.dynamodb.client.requests import Acquire, Get, Put, Query, Transact
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.event_items import Entry, EventItems
from mainstem.dynamodb.items.layout import MARKER, TABLE_KEY, Layout, marker_key
from mainstem.dynamodb.items.marker_item import marker_item
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.items.tables import TableOptions, check, note
from mainstem.dynamodb.repair.progress import RepairProgress
from mainstem.errors import AppendOutcomeUnknown, CommitMismatch, TooLarge, VersionConflict
from mainstem.port import ImportedEvent, Op, Sleep, StreamWrite
from mainstem.values.events import AppendResult, EncodedEvent
from mainstem.values.expected import ANY, EXISTS, Expected
from mainstem.values.positions import EventId, Version
from repair_help import Shop
from simulation.driver import START_US, Process

BOTH: list[Sequencing] = ["transactional", "stream"]
EVENT = EncodedEvent("Placed", "{}", None)
Hook = Callable[[Any], None]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture(params=BOTH)
def sequencing(request: pytest.FixtureRequest) -> Sequencing:
    chosen: Sequencing = request.param
    return chosen


def append(
    shop: Shop,
    adapter: DynamoAdapter,
    commit_id: str,
    expected: Expected = ANY,
    *,
    stream_id: str = "order-1",
    count: int = 1,
) -> AppendResult:
    write = StreamWrite(stream_id, [EVENT] * count, expected)
    (result,) = shop.run(adapter.append([write], commit_id, may_repeat=True))
    return result  # type: ignore[no-any-return]


def start(shop: Shop, operation: Op[Any], told: Callable[[Any], object]) -> None:
    """Beside others, in a process of its own; ``told`` is what it answers."""

    def ended(result: Any, error: BaseException | None) -> None:
        if error is not None:
            raise error
        told(result)

    shop.simulation.start(Process(0), operation, ended)


def found(shop: Shop, commit_id: str, stream_id: str = "order-1") -> int | None:
    """The id of the commit's first event, as a new process finds it."""
    result = shop.run(shop.adapter().find_commit(stream_id, commit_id))
    return None if result is None else int(result.first_event_id)


def commits(shop: Shop, stream_id: str = "order-1") -> list[str]:
    """Of each event of a stream."""
    states = shop.database.rows(shop.layout.events).by_hash.get(stream_id, {})
    return [str(states[event_id][-1].item["CommitId"]) for event_id in sorted(states)]


def markers(shop: Shop) -> dict[tuple[str, str], int]:
    """What they say: streams and commits, and the first event of each."""
    rows = shop.database.rows(shop.layout.log).items
    items = [states[-1].item for key, states in rows.items() if key.hash.startswith(f"{MARKER}#")]
    return {
        (str(item["pk"]).partition("#")[2], str(item["CommitId"])): int(item["First"])
        for item in items
    }


def remove(shop: Shop, commit_id: str) -> None:
    rows, key = shop.database.rows(shop.layout.log), marker_key("order-1", commit_id)
    del rows.items[key]
    del rows.by_hash[key.hash][key.sort]


def put(shop: Shop, **attributes: str | int) -> None:
    """A marker that says something else under the id ``c-1``."""
    item: Item = {**marker_item("order-1", "c-1", 0), **attributes}
    shop.database.rows(shop.layout.log).write(marker_key("order-1", "c-1"), item, 0.0)


def asked(shop: Shop, work: Callable[[], object]) -> list[type]:
    """The kinds of the requests that it takes."""
    before = len(shop.asked)
    work()
    return [type(each) for each in shop.asked[before:] if not isinstance(each, (Acquire, Sleep))]


# What is written


def test_a_commit_has_a_marker_in_each_of_its_streams(shop: Shop, sequencing: Sequencing) -> None:
    adapter = shop.adapter(sequencing)
    append(shop, adapter, "c-1", Version(0), count=2)
    writes = [StreamWrite("order-1", [EVENT], Version(2)), StreamWrite("é", [EVENT] * 2, ANY)]
    shop.run(adapter.append(writes, "c-2", may_repeat=True))
    assert markers(shop) == {("order-1", "c-1"): 0, ("order-1", "c-2"): 2, ("é", "c-2"): 0}


def test_an_id_that_was_made_here_has_none(shop: Shop, sequencing: Sequencing) -> None:
    adapter = shop.adapter(sequencing)
    append(shop, adapter, ".made", Version(0))
    assert markers(shop) == {}
    assert found(shop, ".made") == 0
    assert append(shop, adapter, ".made").repeated


def test_an_event_without_an_id_of_the_callers_stays_one_put(shop: Shop) -> None:
    adapter = shop.adapter("stream")
    append(shop, adapter, ".made-0", Version(0))
    assert asked(shop, lambda: append(shop, adapter, ".made-1", Version(1))) == [Put]
    assert asked(shop, lambda: append(shop, adapter, "own", Version(2))) == [Transact]


def test_a_large_commit_has_its_marker_at_once(shop: Shop, sequencing: Sequencing) -> None:
    """In the transaction that decides; a writer that dies behind it leaves the rest to others."""
    adapter = shop.adapter(sequencing)
    write = StreamWrite("order-1", [EVENT] * 20, ANY)
    dies = adapter.append([write], "c-1", may_repeat=True)
    shop.run(dies, stop=lambda request: type(request).__name__ == "PutNew")
    assert markers(shop) == {("order-1", "c-1"): 0}
    again = append(shop, shop.adapter(sequencing), "c-1", count=20)
    assert (again.first_event_id, again.version, again.repeated) == (0, 20, True)
    assert commits(shop) == ["c-1"] * 20


def test_markers_count_to_the_items_of_a_transaction() -> None:
    """Two streams take two events, two cursors, two markers and a batch, or two."""
    for most, fits in ((8, True), (7, False)):
        shop = Shop()
        adapter = DynamoAdapter("dynamodb://shop", shop.layout, shop.context(), bounds=Bounds(most))
        writes = [StreamWrite(stream_id, [EVENT], ANY) for stream_id in ("a", "b")]
        append(shop, adapter, "first", stream_id="c")
        operation = adapter.append(writes, "c-1", may_repeat=True)
        if fits:
            assert len(shop.run(operation)) == 2
        else:
            with pytest.raises(TooLarge, match="three a stream with a commit id of your own"):
                shop.run(operation)
            shop.run(adapter.append(writes, ".made", may_repeat=False))


def test_commits_that_wait_for_a_turn_share_a_transaction_with_their_markers(shop: Shop) -> None:
    """Bounds of 8 items: two commits have room, of four each, three have not."""
    adapter = shop.adapter("transactional")
    results: list[Any] = []
    for number in range(6):
        write = StreamWrite(f"s-{number}", [EVENT], ANY)
        operation = adapter.append([write], f"c-{number}", may_repeat=True)
        start(shop, operation, results.append)
    shop.simulation.run()
    assert len(results) == 6
    assert len(markers(shop)) == 6
    shop.check(settled=False)


# What is recognised


@pytest.mark.parametrize("expected", [ANY, EXISTS])
def test_a_repeat_takes_effect_once(shop: Shop, sequencing: Sequencing, expected: Expected) -> None:
    append(shop, shop.adapter(sequencing), "c-1", Version(0), count=3)
    append(shop, shop.adapter(sequencing), "c-2", expected)
    append(shop, shop.adapter(sequencing), "c-3", Version(4))
    for commit_id, first, version in (("c-1", 0, 3), ("c-2", 3, 4), ("c-3", 4, 5)):
        result = append(shop, shop.adapter(sequencing), commit_id, expected)
        assert (result.first_event_id, result.version, result.repeated) == (first, version, True)
    assert len(commits(shop)) == 5


@pytest.mark.parametrize("bare", [0.0, 1.0], ids=["with its item", "without"])
def test_the_refusal_tells_the_repeat(sequencing: Sequencing, bare: float) -> None:
    """Nothing is read before the first try; and where the refusal comes without the marker, it is read."""
    shop = Shop()
    shop.database._bare = bare
    adapter = shop.adapter(sequencing)
    append(shop, adapter, "c-1", Version(0))
    kinds = asked(shop, lambda: append(shop, adapter, "c-2"))
    assert kinds == [Transact]
    kinds = asked(shop, lambda: append(shop, adapter, "c-1"))
    assert kinds[0] is Transact
    assert kinds.count(Transact) == 1
    if not bare:
        assert kinds == [Transact, Get, Query]
    assert commits(shop) == ["c-1", "c-2"]


def test_a_repeat_of_a_part_is_a_mismatch(shop: Shop, sequencing: Sequencing) -> None:
    adapter = shop.adapter(sequencing)
    append(shop, adapter, "c-1", stream_id="a")
    writes = [StreamWrite(stream_id, [EVENT], ANY) for stream_id in ("a", "b")]
    with pytest.raises(CommitMismatch):
        shop.run(adapter.append(writes, "c-1", may_repeat=True))
    assert commits(shop, "b") == []


def test_of_an_id_at_two_versions_the_newest_is_found(shop: Shop, sequencing: Sequencing) -> None:
    adapter = shop.adapter(sequencing)
    append(shop, adapter, "c-1", Version(0))
    append(shop, adapter, "c-2", Version(1))
    assert not append(shop, adapter, "c-1", Version(2)).repeated
    assert found(shop, "c-1") == 2
    assert append(shop, adapter, "c-1", Version(0)).first_event_id == 0


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("others", [0, 2])
def test_two_processes_that_repeat_at_the_same_time_write_once(
    sequencing: Sequencing, seed: int, others: int
) -> None:
    shop = Shop(seed=seed)
    results: list[AppendResult] = []
    done: list[object] = []
    for _ in range(2):
        write = StreamWrite("order-1", [EVENT, EVENT], ANY)
        operation = shop.adapter(sequencing).append([write], "c-1", may_repeat=True)
        start(shop, operation, results.extend)
    for number in range(others):
        write = StreamWrite("order-1", [EVENT], ANY)
        operation = shop.adapter(sequencing).append([write], f"o-{number}", may_repeat=True)
        start(shop, operation, done.append)
    shop.simulation.run()
    assert sorted(result.repeated for result in results) == [False, True]
    assert len({result.first_event_id for result in results}) == 1
    assert commits(shop).count("c-1") == 2
    assert len(done) == others


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_lost_reply_and_a_repeat_write_once(
    shop: Shop, sequencing: Sequencing, carried_out: bool
) -> None:
    """The caller is told that nobody knows, and repeats in a process that knows nothing."""
    adapter = shop.adapter(sequencing)
    append(shop, adapter, "c-0", Version(0))
    execute = shop.database.execute

    def lose(request: Any, answered: float | None = None) -> Any:
        if isinstance(request, Transact):
            if carried_out:
                execute(request, answered)
            raise faults.NoReply("no answer came")
        if isinstance(request, (Get, Query)) and request.table == shop.layout.events:
            raise faults.NoReply("no answer came")
        return execute(request, answered)

    shop.database.execute = lose  # type: ignore[method-assign]
    with pytest.raises(AppendOutcomeUnknown):
        append(shop, adapter, "c-1")
    shop.database.execute = execute  # type: ignore[method-assign]
    assert append(shop, shop.adapter(sequencing), "c-1").repeated == carried_out
    assert append(shop, shop.adapter(sequencing), "c-1").repeated
    assert commits(shop) == ["c-0", "c-1"]


# Markers that are wrong


def test_a_marker_whose_event_is_not_there_is_replaced(shop: Shop, sequencing: Sequencing) -> None:
    """The events table was restored to an earlier moment than the log table."""
    append(shop, shop.adapter(sequencing), "c-0", Version(0))
    put(shop, First=5)
    assert found(shop, "c-1") is None
    result = append(shop, shop.adapter(sequencing), "c-1")
    assert (result.first_event_id, result.repeated) == (1, False)
    assert markers(shop)["order-1", "c-1"] == 1
    assert append(shop, shop.adapter(sequencing), "c-1").repeated


def test_a_marker_whose_event_is_of_another_commit_is_replaced(
    shop: Shop, sequencing: Sequencing
) -> None:
    append(shop, shop.adapter(sequencing), "c-0", Version(0), count=3)
    put(shop, First=1)
    assert found(shop, "c-1") is None
    assert not append(shop, shop.adapter(sequencing), "c-1").repeated
    assert found(shop, "c-1") == 3


@pytest.mark.parametrize(
    "said",
    [{"First": 99}, {"First": "0"}, {"First": -1}, {"First": 10**37}, {"CommitId": "x"}],
    ids=str,
)
def test_a_commit_that_is_not_where_the_marker_says_is_searched_for(
    shop: Shop, sequencing: Sequencing, said: dict[str, Any]
) -> None:
    append(shop, shop.adapter(sequencing), "c-1", Version(0), count=2)
    append(shop, shop.adapter(sequencing), "c-2", Version(2))
    put(shop, **said)
    assert found(shop, "c-1") == 0
    result = append(shop, shop.adapter(sequencing), "c-1")
    assert (result.first_event_id, result.version, result.repeated) == (0, 2, True)
    assert commits(shop) == ["c-1", "c-1", "c-2"]


@pytest.fixture
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """All commit ids of a stream have one hash."""

    def made(stream_id: str, commit_id: str) -> Key:
        return Key(f"{MARKER}#{stream_id}", 7)

    for module in (
        mainstem.dynamodb.items.layout,
        mainstem.dynamodb.items.marker_item,
        mainstem.dynamodb.append.repeats,
    ):
        monkeypatch.setattr(module, "marker_key", made)


@pytest.mark.usefixtures("one_key")
def test_two_ids_with_one_hash_are_two_commits(shop: Shop, sequencing: Sequencing) -> None:
    cases: list[Expected] = [Version(0), ANY, Version(2), EXISTS]
    for number, expected in enumerate(cases):
        assert not append(shop, shop.adapter(sequencing), f"c-{number}", expected).repeated
    for number in range(4):
        assert found(shop, f"c-{number}") == number
        assert append(shop, shop.adapter(sequencing), f"c-{number}").first_event_id == number
    assert found(shop, "c-4") is None
    assert commits(shop) == ["c-0", "c-1", "c-2", "c-3"]


@pytest.mark.usefixtures("one_key")
@pytest.mark.parametrize("seed", range(20))
def test_repeats_at_the_same_time_with_one_hash_write_once(
    sequencing: Sequencing, seed: int
) -> None:
    shop = Shop(seed=seed)
    append(shop, shop.adapter(sequencing), "c-0", Version(0))
    done: list[object] = []
    for number in (1, 1, 2, 2):
        write = StreamWrite("order-1", [EVENT], ANY)
        operation = shop.adapter(sequencing).append([write], f"c-{number}", may_repeat=True)
        start(shop, operation, done.append)
    shop.simulation.run()
    assert len(done) == 4
    assert sorted(commits(shop)) == ["c-0", "c-1", "c-2"]


# Restoring


def imported(stream_id: str, event_id: int, commit_id: str) -> ImportedEvent:
    return ImportedEvent(stream_id, EventId(event_id), EVENT, START_US, commit_id)


def test_what_was_restored_is_found(shop: Shop) -> None:
    """Also what is written by parts, and an id that comes again in one transaction."""
    adapter = shop.adapter("transactional")
    many = [imported(f"s-{number}", 0, "many") for number in range(9)]
    again = [
        imported("order-1", n, commit_id)
        for n, commit_id in enumerate(["c-1", "c-1", "c-2", "c-1", ".made"])
    ]
    for some in (many, again[:1], again[1:]):
        shop.run(adapter.import_events(some))
    for number in range(9):
        assert found(shop, "many", f"s-{number}") == 0
    assert [found(shop, each) for each in ("c-1", "c-2", ".made")] == [3, 2, 4]
    assert append(shop, shop.adapter(), "c-2").repeated
    assert len(markers(shop)) == 11
    shop.check(settled=False)


# Tables from before


def test_where_markers_are_not_known_to_be_kept_the_stream_is_read(sequencing: Sequencing) -> None:
    shop = Shop()
    append(shop, shop.adapter(sequencing), "c-1", Version(0))
    append(shop, shop.adapter(sequencing), "c-2", Version(1))
    remove(shop, "c-1")
    assert found(shop, "c-1") is None
    shop.layout = replace(shop.layout, marked=False)
    assert found(shop, "c-1") == 0
    assert append(shop, shop.adapter(sequencing), "c-1").repeated
    # It keeps them all the same, so that a repair finds few that are missing.
    assert not append(shop, shop.adapter(sequencing), "c-3").repeated
    assert markers(shop) == {("order-1", "c-2"): 1, ("order-1", "c-3"): 2}


def noted(shop: Shop, layout: Layout) -> Item:
    shop.run(note(layout, shop.context(), TableOptions()))
    item = shop.database.rows(layout.log).newest(TABLE_KEY)
    assert item is not None
    return item


def test_a_store_that_is_made_says_that_it_keeps_markers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainstem.dynamodb.items.tables.check_log", lambda *_: None)
    monkeypatch.setattr("mainstem.dynamodb.items.tables.check_events", lambda *_, **__: None)
    assert noted(shop, shop.layout)["Markers"] == 1
    assert shop.run(check("shop", shop.context())).layout.marked


def test_a_store_beside_events_that_are_there_does_not_until_it_is_repaired(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainstem.dynamodb.items.tables.check_log", lambda *_: None)
    monkeypatch.setattr("mainstem.dynamodb.items.tables.check_events", lambda *_, **__: None)
    items = EventItems(shop.layout)
    for event_id, commit_id in enumerate(["c-1", "c-1", "", "c-2"]):
        event = Packed("order-1", event_id, "Placed", "{}", None, START_US, commit_id)
        item = items.item(Entry(event, event_id, event_id), None)
        if not commit_id:
            del item["CommitId"]
        shop.database.rows(shop.layout.events).write(Key("order-1", event_id), item, 0.0)
    assert "Markers" not in noted(shop, shop.layout)
    shop.layout = shop.run(check("shop", shop.context())).layout
    assert not shop.layout.marked
    assert [found(shop, each) for each in ("c-1", "c-2", "c-3")] == [1, 3, None]
    done = repaired(shop)
    assert (done.markers, done.holes, done.problems) == (2, {}, ())
    shop.layout = shop.run(check("shop", shop.context())).layout
    assert shop.layout.marked
    assert [found(shop, each) for each in ("c-1", "c-2", "c-3")] == [1, 3, None]
    assert markers(shop) == {("order-1", "c-1"): 1, ("order-1", "c-2"): 3}
    assert repaired(shop).markers == 0


# Repairing


def repaired(shop: Shop) -> RepairProgress:
    """As the command does it."""
    with closing(shop.repair(rebuild=True)) as run:
        shop.run(run.begin())
        shop.run(run.read_log())
        shop.run(run.rebuild())
        shop.run(run.work())
        done: RepairProgress = shop.run(run.finish())
        return done


def test_a_repair_puts_the_markers_that_are_missing(shop: Shop, sequencing: Sequencing) -> None:
    adapter = shop.adapter(sequencing)
    for number in range(40):
        append(shop, adapter, f"c-{number}", Version(2 * number), count=2)
    append(shop, adapter, ".made", Version(80))
    before = markers(shop)
    for number in range(0, 40, 3):
        remove(shop, f"c-{number}")
    assert found(shop, "c-3") is None
    assert repaired(shop).markers == 14
    assert markers(shop) == before
    assert found(shop, "c-3") == 6


def test_a_repair_raises_a_marker_of_an_earlier_moment(shop: Shop) -> None:
    adapter = shop.adapter("transactional")
    for version in (0, 1, 2):
        append(shop, adapter, "c-1", Version(version))
    put(shop, First=1)
    assert repaired(shop).markers == 1
    assert markers(shop) == {("order-1", "c-1"): 2}


def test_markers_that_are_written_while_a_repair_runs_are_none_that_it_put(shop: Shop) -> None:
    adapter = shop.adapter("transactional")
    append(shop, adapter, "c-0", Version(0))
    with closing(shop.repair(rebuild=True)) as run:
        shop.run(run.begin())
        shop.run(run.read_log())
        shop.run(run.rebuild())
        append(shop, adapter, "c-1", Version(1))
        shop.run(run.work())
        done = shop.run(run.finish())
    assert (done.markers, done.rebuilt) == (0, 0)


def test_what_is_put_back_from_the_log_has_its_marker(shop: Shop) -> None:
    adapter = shop.adapter("transactional")
    append(shop, adapter, "c-0", Version(0))
    append(shop, adapter, "c-1", Version(1), count=2)
    remove(shop, "c-1")
    shop.delete("order-1", 1, 2)
    done = repaired(shop)
    assert (done.put_back, done.markers) == (2, 1)
    assert found(shop, "c-1") == 1


# What it costs


def long_stream(events: int) -> Shop:
    """One event by a commit of its own, and the rest by others."""
    shop = Shop()
    append(shop, shop.adapter("transactional"), "first", Version(0))
    items = EventItems(shop.layout)
    rows = shop.database.rows(shop.layout.events)
    for event_id in range(1, events):
        event = Packed("order-1", event_id, "Placed", "{}", None, START_US, f"c-{event_id}")
        item = items.item(Entry(event, event_id, event_id), event_id)
        rows.write(Key("order-1", event_id), item, 0.0)
        if event_id % 97 == 0:
            marker = marker_item("order-1", f"c-{event_id}", event_id)
            shop.database.rows(shop.layout.log).write(Key.of(shop.layout.log, marker), marker, 0.0)
    return shop


def cost(shop: Shop, work: Callable[[DynamoAdapter], Op[Any]]) -> tuple[list[str], float]:
    """The requests of a process that knows the stream's version, and their read units."""
    adapter = shop.adapter("stream")
    shop.run(adapter.version("order-1"))
    before, units = len(shop.asked), shop.read_units
    with suppress(VersionConflict):
        shop.run(work(adapter))
    kinds = [type(each).__name__ for each in shop.asked[before:]]
    return [each for each in kinds if each not in ("Acquire", "Sleep")], shop.read_units - units


def appending(adapter: DynamoAdapter, commit_id: str, expected: Expected) -> Op[Any]:
    return adapter.append([StreamWrite("order-1", [EVENT], expected)], commit_id, may_repeat=True)


WORKS: dict[str, Callable[[DynamoAdapter], Op[Any]]] = {
    "the first one is found": lambda adapter: adapter.find_commit("order-1", "first"),
    "one that is not there is not": lambda adapter: adapter.find_commit("order-1", "none"),
    "any": lambda adapter: appending(adapter, "new", ANY),
    "exists": lambda adapter: appending(adapter, "newer", EXISTS),
    "any, again": lambda adapter: appending(adapter, "first", ANY),
    "a version, again": lambda adapter: appending(adapter, "first", Version(0)),
    "a version, and a conflict": lambda adapter: appending(adapter, "other", Version(0)),
}


@pytest.mark.parametrize("name", WORKS)
def test_it_costs_the_same_in_a_stream_of_100_events_and_of_10_000(name: str) -> None:
    short, long = (cost(long_stream(events), WORKS[name]) for events in (100, 10_000))
    assert short == long
    assert len(short[0]) <= 6
    assert short[1] <= 5
