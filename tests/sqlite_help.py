"""What the tests of the embedded store share."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mainstem import JsonCodec, NewEvent, Store
from mainstem.sqlite.adapter import SqliteAdapter
from mainstem.sqlite.drivers import BlockingDriver
from mainstem.sqlite.engine import Engine
from mainstem.sqlite.open import parse

PATIENCE = 60
"""Seconds until a wait counts as failed."""


def url_of(path: Path, **options: object) -> str:
    text = "&".join(f"{name}={value}" for name, value in options.items())
    return f"sqlite:///{path}" + (f"?{text}" if text else "")


def opened(path: Path, **options: object) -> tuple[Store, Engine]:
    """A store, and the engine below it."""
    url = url_of(path, **options)
    engine = Engine(parse(url))
    return Store(SqliteAdapter(url), BlockingDriver(engine), JsonCodec()), engine


def new(*values: object) -> list[NewEvent]:
    return [NewEvent("Counted", value) for value in values]


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


_RECOVERY = """
import fcntl, os, sys
shared = os.open(sys.argv[1] + "-shm", os.O_RDWR)
for lock in (120, 122):  # to write, to recover
    fcntl.lockf(shared, fcntl.LOCK_EX, 1, lock)
os.pwrite(shared, bytes(96), 0)  # the header, of which it makes a new one
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def recovering(path: Path) -> Iterator[Callable[[], None]]:
    """Another process makes SQLite's index of its log anew, as after a crash: readers wait for it, too.

    Gives what ends it.
    """
    with subprocess.Popen(
        [sys.executable, "-c", _RECOVERY, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n"

        def end() -> None:
            other.communicate(timeout=PATIENCE)

        try:
            yield end
        finally:
            end()


def run_script(script: str, *arguments: object, unprivileged: bool = False) -> str:
    """The output of a Python script in a process of its own, which has to succeed.

    Unprivileged, it is run by a user who may write nothing here, as far as this one can tell.
    """
    if unprivileged and os.getuid() == 0:  # who may be unable to import anything
        script = f"import mainstem.sqlite.open, os; os.setuid(65534)\n{script}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
