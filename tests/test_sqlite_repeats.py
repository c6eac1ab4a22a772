"""Recognising a repeat on SQLite: what it costs does not depend on how long the stream is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import mainstem
from mainstem import ANY, EXISTS, Append, Decider, NewEvent, Snapshots
from mainstem.codec import JsonCodec
from mainstem.drive import in_thread
from mainstem.port import Op, Result
from mainstem.sqlite import schema
from mainstem.sqlite.adapter import SqliteAdapter
from mainstem.sqlite.tickets import Read, Write
from mainstem.testing.invariants import check_invariants
from mainstem.values.events import is_made, new_commit_id
from mainstem.verbs.append import append_many
from mainstem.verbs.handle import handle
from sqlite_help import new, url_of

LENGTHS = (100, 4_000)

counting: Decider[int, str] = Decider(
    lambda: 0,
    lambda state, event: state + 1,
    lambda command, state: new(command),
    Snapshots(every=50, schema="count", type=int),
)


class Stored:
    """A store in memory, and how many instructions SQLite needs for an operation on it."""

    def __init__(self) -> None:
        self.adapter = SqliteAdapter("sqlite://:memory:")
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        schema.create(self.connection)
        self._instructions = 0
        self.connection.set_progress_handler(self._count, 1)

    def append(self, count: int, **options: Any) -> Op[Any]:
        write = Append("order-1", new(*range(count)), options.pop("expected"))
        return append_many(self.adapter, JsonCodec(), [write], **options)

    def handle(self, commit_id: str | None) -> Op[Any]:
        return handle(
            self.adapter, JsonCodec(), counting, "order-1", "command", commit_id=commit_id
        )

    def run(self, operation: Op[Result]) -> tuple[Result, int]:
        """The result, and the instructions."""
        before = self._instructions
        result = in_thread(operation, self._carry_out)
        return result, self._instructions - before

    def _carry_out(self, request: object) -> object:
        assert isinstance(request, (Read, Write))
        return request.work(self.connection)

    def _count(self) -> int:
        self._instructions += 1
        return 0


@pytest.fixture
def stored() -> Iterator[Stored]:
    made = Stored()
    yield made
    made.connection.close()


WORKS: dict[str, Callable[[Stored], Op[Any]]] = {
    "a new command": lambda stored: stored.handle("new"),
    "a new append for any version": lambda stored: stored.append(1, expected=ANY, commit_id="new"),
    "a new append of several": lambda stored: stored.append(3, expected=EXISTS, commit_id="new"),
    "a repeat of the first, by version": lambda stored: stored.append(
        1, expected=0, commit_id="first"
    ),
    "a repeat of the first": lambda stored: stored.append(1, expected=ANY, commit_id="first"),
    "a repeat of several": lambda stored: stored.append(3, expected=ANY, commit_id="second"),
    "a repeat of the last": lambda stored: stored.append(1, expected=ANY, commit_id="last"),
    "the last command again": lambda stored: stored.handle("last"),
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_what_it_costs_does_not_grow_with_the_stream(
    stored: Stored, work: Callable[[Stored], Op[Any]]
) -> None:
    stored.run(stored.append(1, expected=0, commit_id="first"))
    stored.run(stored.append(3, expected=1, commit_id="second"))
    length = 4
    needed = []
    for end in LENGTHS:
        stored.run(stored.append(end - length - 1, expected=length))
        result, _ = stored.run(stored.handle("last"))
        assert result.version == end
        stored.connection.execute("SAVEPOINT before")
        needed.append(stored.run(work(stored))[1])
        stored.connection.execute("ROLLBACK TO before")
        length = end
        stored.connection.execute("UPDATE events SET commit_id = 'past' WHERE commit_id = 'last'")
    assert needed[0] > 0
    assert needed[1] == needed[0]


@pytest.mark.parametrize("count", [1, 3])
def test_an_id_that_was_made_here_is_found_as_well(tmp_path: Path, count: int) -> None:
    """It comes back from a caller who was told that the outcome is unknown."""
    with mainstem.connect(url_of(tmp_path / "shop.db")) as store:
        store.append("a", new(0), expected=ANY)
        first = store.append("a", new(*range(count)), expected=ANY)
        store.append("a", new(1, 2), expected=ANY)
        assert is_made(first.commit_id)
        for expected in (ANY, 1):
            again = store.append(
                "a", new(*range(count)), expected=expected, commit_id=first.commit_id
            )
            assert again == first._replace(repeated=True)
        handled = store.handle(counting, "a", "x", commit_id=first.commit_id)
        assert handled.result == first._replace(repeated=True)


def test_ids_that_are_made_say_so_and_differ() -> None:
    made = {new_commit_id() for _ in range(1_000)}
    assert len(made) == 1_000
    assert {len(commit_id) for commit_id in made} == {16}
    assert all(map(is_made, made))
    assert not is_made("request-17")


def older(path: Path) -> None:
    """Make it a file of a release that had no index of commits, and whose own ids looked like others."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX commits")
        connection.execute("UPDATE events SET commit_id = replace(commit_id, '.', 'x')")
        connection.commit()


@pytest.mark.parametrize("mode", ["rw", "rwc"])
def test_an_older_store_gets_the_index_when_it_is_opened(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path)) as store:
        first = store.append("a", new(0, 1), expected=0, commit_id="request-1")
        store.append("a", new(2), expected=2)
    older(path)
    with mainstem.connect(url_of(path, mode=mode)) as store:
        for commit_id in ("request-1", store.read("a")[2].commit_id):
            assert store.append("a", new(0), expected=ANY, commit_id=commit_id).repeated
        assert store.handle(counting, "a", "x", commit_id="request-1").result == first._replace(
            repeated=True
        )
        check_invariants(store)
    with closing(sqlite3.connect(path)) as connection:
        assert not schema.lacks_index(connection)


def test_an_older_store_that_is_only_read_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(0, 1), expected=0, commit_id="request-1")
    older(path)
    before = path.read_bytes()
    idle: Decider[int, str] = Decider(lambda: 0, lambda state, event: state + 1, lambda *_: None)
    with mainstem.connect(url_of(path, mode="ro")) as store:
        assert store.handle(idle, "a", "x", commit_id="request-1").repeated
        assert not store.handle(idle, "a", "x", commit_id="request-2").repeated
    assert path.read_bytes() == before


def test_a_repeated_command_gets_the_state_behind_its_own_events(tmp_path: Path) -> None:
    """With a snapshot from before them, at them, and behind them."""
    with mainstem.connect(url_of(tmp_path / "shop.db")) as store:
        first = []
        for number in range(120):
            first.append(store.handle(counting, "a", f"c{number}", commit_id=f"c{number}"))
            for back in (0, 1, 60, 118):
                if back > number:
                    continue
                again = store.handle(counting, "a", "other", commit_id=f"c{number - back}")
                known = first[number - back]
                assert again.repeated
                assert (again.version, again.state, again.events) == (
                    known.version,
                    known.state,
                    known.events,
                )
                assert again.state == number - back + 1


def test_a_commit_ends_where_the_next_begins(tmp_path: Path) -> None:
    """Also where neighbours have the same id, as appends at an exact version may."""
    with mainstem.connect(url_of(tmp_path / "shop.db")) as store:
        results = []
        version = 0
        for count in (1, 1, 3, 1, 2, 2):
            result = store.append("a", new(*range(count)), expected=version, commit_id="same")
            results.append(result)
            version = result.version
            store.append("b", [NewEvent("Between", None)], expected=ANY)
        for result in results:
            again = store.append("a", new(0), expected=int(result.first_event_id), commit_id="same")
            assert again == result._replace(repeated=True)
        assert store.append("a", new(0), expected=ANY, commit_id="same") == results[-1]._replace(
            repeated=True
        )
