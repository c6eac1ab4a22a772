"""What the tests of the embedded store share."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
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


def run_script(script: str, *arguments: object, unprivileged: bool = False) -> str:
    """The output of a Python script in a process of its own, which has to succeed.

    Unprivileged, it is run by a user who may write nothing here, as far as this one can tell.
    """
    if unprivileged and os.getuid() == 0:
        script = f"import mainstem, os; os.setuid(65534)\n{script}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
