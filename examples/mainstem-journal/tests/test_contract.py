"""The contract that every store keeps, on journals: blocking and async."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from mainstem import AsyncStore, JsonCodec, Store
from mainstem.testing import contract
from mainstem.testing.portal import portal
from mainstem_journal import drivers
from mainstem_journal.adapter import JournalAdapter, system_clock
from mainstem_journal.journal import Journal


class Blocking(contract.Backend):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.url: str = f"journal:///{path}"

    def connect(self, clock: contract.Clock | None) -> Store:
        journal = Journal(self.path, create=True)
        adapter = JournalAdapter(self.url, journal, clock or system_clock)
        return Store(adapter, drivers.BlockingDriver(journal), JsonCodec())


class Async(Blocking):
    def connect(self, clock: contract.Clock | None) -> Store:
        journal = Journal(self.path, create=True)
        adapter = JournalAdapter(self.url, journal, clock or system_clock)
        return portal(lambda: AsyncStore(adapter, drivers.AsyncDriver(journal), JsonCodec()))


def numbered(kind: Callable[[Path], contract.Backend], folder: Path) -> contract.MakeBackend:
    paths = (folder / f"store-{number}.journal" for number in itertools.count())
    return lambda: kind(next(paths))


class TestBlocking(contract.Contract, contract.ProcessContract):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> contract.MakeBackend:
        return numbered(Blocking, tmp_path)


class TestAsync(contract.Contract, contract.ProcessContract):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> contract.MakeBackend:
        return numbered(Async, tmp_path)
