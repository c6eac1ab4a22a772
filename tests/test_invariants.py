"""The check of a whole store finds what is wrong with it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import mainstem
from mainstem import ANY, Append, Store
from mainstem.testing.invariants import InvariantBroken, check_invariants, replay_all
from sqlite_help import new, url_of


def filled(path: Path) -> Store:
    store = mainstem.connect(url_of(path))
    for number in range(20):
        store.append(f"s-{number % 3}", new(number), expected=ANY)
    store.append_many([Append("s-0", new(1, 2), ANY), Append("t", new(3), 0)])
    return store


def test_a_sound_store_passes_and_passes_again(tmp_path: Path) -> None:
    with filled(tmp_path / "sound.db") as store:
        earlier = check_invariants(store, commit_ids_are_unique=True)
        store.append("s-0", new(1), expected=ANY)
        again = check_invariants(store, earlier, commit_ids_are_unique=True)
        assert len(again.positions[0]) == len(earlier.positions[0]) + 1 == 24
        assert check_invariants(store, again).violations == []


@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        ("DELETE FROM events WHERE position = 7", "L1"),
        ("DELETE FROM events WHERE position = 7", "S1"),
        ("DELETE FROM events WHERE position = 0", "L3"),
        ("UPDATE events SET payload = '77' WHERE position = 7", "L2"),
        ("UPDATE events SET recorded_us = 7 WHERE position = 7", "L2"),
        ("DELETE FROM events WHERE position >= 20", "L2"),
        ("UPDATE events SET event_id = event_id + 1 WHERE stream_id = 't'", "S1"),
        ("UPDATE events SET event_id = -1 - event_id WHERE stream_id = 's-1'", "L3"),
        ("UPDATE events SET commit_id = 'same' WHERE position IN (3, 9)", "S2"),
    ],
)
def test_damage_is_found(tmp_path: Path, damage: str, invariant: str) -> None:
    path = tmp_path / "damaged.db"
    with filled(path) as store:
        earlier = replay_all(store)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(damage)
        with pytest.raises(InvariantBroken) as caught:
            check_invariants(store, earlier, commit_ids_are_unique=True)
        assert any(violation.startswith(invariant) for violation in caught.value.violations)


def test_a_long_list_of_violations_is_cut_in_the_message() -> None:
    error = InvariantBroken([f"L1: number {number}" for number in range(1_000)])
    assert str(error).count("\n") == 20
    assert "and 980 more" in str(error)
    assert len(error.violations) == 1_000
