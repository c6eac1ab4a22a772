"""Checkpoints: how far each subscription has got, and who may move it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from mainstem.errors import CheckpointLost
from mainstem.port import Claim, StoredCheckpoint
from mainstem.sqlite.values import text, time, whole
from mainstem.text.printable import quoted
from mainstem.values.positions import Partition, Position

TABLE: Final = """
    CREATE TABLE checkpoints (
        subscription TEXT NOT NULL,
        partition INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        position INTEGER,      -- NULL: claimed, but nothing saved yet
        saved_us INTEGER,
        PRIMARY KEY (subscription, partition)
    ) WITHOUT ROWID
    """


class Whole(NamedTuple):
    """All of a row, whatever it says."""

    subscription: Any
    partition: Any
    fence: Any
    position: Any
    saved_us: Any


_STORED: Final = ", ".join(StoredCheckpoint._fields)
"""The columns of a checkpoint that was saved."""


def claim(connection: sqlite3.Connection, subscription: str, partition: Partition) -> Claim:
    """Take the next fencing number, so that no earlier reader can move the checkpoint any more."""
    connection.execute(
        "INSERT INTO checkpoints (subscription, partition, fence) VALUES (?, ?, 1) "
        "ON CONFLICT (subscription, partition) DO UPDATE SET fence = fence + 1",
        (subscription, partition),
    )
    row = connection.execute(
        "SELECT fence, position FROM checkpoints WHERE subscription = ? AND partition = ?",
        (subscription, partition),
    ).fetchone()
    what = f"of the checkpoint {subscription!r}"
    fence = whole(row and row[0], f"the fencing number {what}")
    position = None if row[1] is None else Position(whole(row[1], f"the position {what}"))
    return Claim(subscription, partition, fence, position)


def save(connection: sqlite3.Connection, held: Claim, position: Position, saved_us: int) -> None:
    """Move the checkpoint. Raises `CheckpointLost` unless the claim is the newest."""
    moved = connection.execute(
        "UPDATE checkpoints SET position = ?, saved_us = ? "
        "WHERE subscription = ? AND partition = ? AND fence = ?",
        (position, saved_us, held.subscription, held.partition, held.fence),
    )
    if moved.rowcount == 0:
        raise CheckpointLost(held.subscription, position)


def check(connection: sqlite3.Connection, held: Claim, position: Position) -> None:
    """Raises `CheckpointLost` unless the claim is the newest."""
    newest = connection.execute(
        "SELECT 1 FROM checkpoints WHERE subscription = ? AND partition = ? AND fence = ?",
        (held.subscription, held.partition, held.fence),
    ).fetchone()
    if newest is None:
        raise CheckpointLost(held.subscription, position)


def put(connection: sqlite3.Connection, checkpoint: StoredCheckpoint) -> StoredCheckpoint:
    """Move the checkpoint and remove its claim, whichever reader has it."""
    connection.execute(
        f"INSERT INTO checkpoints ({_STORED}, fence) "
        "VALUES (?, ?, ?, ?, 1) ON CONFLICT (subscription, partition) DO UPDATE "
        "SET position = excluded.position, saved_us = excluded.saved_us, fence = fence + 1",
        checkpoint,
    )
    return checkpoint


def saved(connection: sqlite3.Connection, subscription: str | None) -> list[StoredCheckpoint]:
    """Every checkpoint that was saved, or those of one subscription."""
    rows = connection.execute(
        f"SELECT {_STORED} FROM checkpoints "
        "WHERE position IS NOT NULL AND subscription = coalesce(?, subscription) "
        "ORDER BY subscription, partition",
        (subscription,),
    ).fetchall()
    return [_stored(*row) for row in rows]


def _stored(
    subscription: object, partition: object, position: object, saved_us: object
) -> StoredCheckpoint:
    name = text(subscription, "a subscription's name")
    what = f"of the checkpoint {quoted(name)}"
    return StoredCheckpoint(
        name,
        Partition(whole(partition, f"the partition {what}")),
        Position(whole(position, f"the position {what}")),
        time(saved_us, f"the time {what}"),
    )


def every(connection: sqlite3.Connection) -> Iterator[Whole]:
    """Every row, as it is."""
    return map(
        Whole._make, connection.execute(f"SELECT {', '.join(Whole._fields)} FROM checkpoints")
    )


def delete(connection: sqlite3.Connection, subscription: str) -> bool:
    """Forget a subscription's checkpoints.

    The rows stay, with a fencing number higher by one: were they removed, numbers would start
    again, and a reader from before could hold the newest one by chance.
    """
    (saved_ones,) = connection.execute(
        "SELECT count(position) FROM checkpoints WHERE subscription = ?", (subscription,)
    ).fetchone()
    connection.execute(
        "UPDATE checkpoints SET position = NULL, saved_us = NULL, fence = fence + 1 "
        "WHERE subscription = ?",
        (subscription,),
    )
    return bool(saved_ones)
