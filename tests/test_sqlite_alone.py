"""Appends that are a single statement and go alone: what is known of one that is interrupted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mainstem import OutcomeUnknown
from mainstem.sqlite.fate import Fate
from mainstem.sqlite.tickets import Write
from sqlite_help import new, opened

INSERT = "INSERT INTO snapshots (stream_id, schema, version, data) VALUES ('a', 's', 1, '')"


def unexpected(_: sqlite3.Connection) -> None:
    raise AssertionError("it was to go alone")


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, TimeoutError])
def test_the_fate_of_an_interrupted_statement_is_known(
    tmp_path: Path, kind: type[BaseException], is_written: bool
) -> None:
    store, engine = opened(tmp_path / "a.db")

    def statement(connection: sqlite3.Connection) -> None:
        if is_written:
            connection.execute(INSERT)
        raise kind

    write = Write(unexpected, statement)
    with pytest.raises(kind):
        engine.write(write)
    assert write.fate is (Fate.WRITTEN if is_written else Fate.NOT_WRITTEN)
    found = engine.read(lambda c: c.execute("SELECT count(*) FROM snapshots").fetchone())
    assert found == (int(is_written),)
    assert store.append("s", new(1), expected=0).version == 1
    store.close()


def test_a_disk_that_fails_under_a_statement_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    store, engine = opened(tmp_path / "a.db")

    def statement(_: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    write = Write(unexpected, statement)
    with pytest.raises(OutcomeUnknown):
        engine.write(write)
    assert write.fate is Fate.UNKNOWN
    store.close()


def test_what_a_statement_can_not_do_is_done_by_the_writing_thread(tmp_path: Path) -> None:
    store, engine = opened(tmp_path / "a.db")
    assert engine.write(Write(lambda _: "done", lambda _: None)) == "done"
    store.close()
