"""The contract on SQLite: in a file and in memory, blocking and asynchronous."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from mainstem import AsyncStore, JsonCodec, Store
from mainstem.sqlite.adapter import SqliteAdapter, system_clock
from mainstem.sqlite.drivers import AsyncDriver, BlockingDriver
from mainstem.sqlite.engine import Engine
from mainstem.sqlite.open import parse
from mainstem.testing import contract
from mainstem.testing.contract.bad_input import WrongCallContract
from mainstem.testing.portal import portal


class File(contract.Backend):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.url: str = f"sqlite:///{path}?synchronous=NORMAL"

    def connect(self, clock: contract.Clock | None) -> Store:
        adapter = SqliteAdapter(self.url, clock or system_clock)
        return Store(adapter, BlockingDriver(Engine(parse(self.url))), JsonCodec())


class AsyncFile(File):
    def connect(self, clock: contract.Clock | None) -> Store:
        adapter = SqliteAdapter(self.url, clock or system_clock)
        return portal(
            lambda: AsyncStore(adapter, AsyncDriver(Engine(parse(self.url))), JsonCodec())
        )


class Memory(File):
    shared = False

    def __init__(self) -> None:
        super().__init__(Path())
        self.url = "sqlite://:memory:"


class AsyncMemory(Memory, AsyncFile):
    pass


def numbered(kind: Callable[[Path], contract.Backend], folder: Path) -> contract.MakeBackend:
    paths = (folder / f"store-{number}.db" for number in itertools.count())
    return lambda: kind(next(paths))


class TestFile(contract.Contract, contract.ProcessContract):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> contract.MakeBackend:
        return numbered(File, tmp_path)


class TestFileAsync(contract.Contract, contract.ProcessContract):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> contract.MakeBackend:
        return numbered(AsyncFile, tmp_path)


class TestMemory(contract.Contract, WrongCallContract):
    @pytest.fixture
    def make_backend(self) -> contract.MakeBackend:
        return Memory


class TestMemoryAsync(contract.Contract, WrongCallContract):
    @pytest.fixture
    def make_backend(self) -> contract.MakeBackend:
        return AsyncMemory


def test_no_part_of_the_contract_hides_a_test_of_another() -> None:
    parts = [
        part
        for part in TestMemory.__mro__
        if part.__name__.endswith("Contract") and part is not contract.Contract
    ]
    names = [name for part in parts for name in vars(part) if not name.startswith("__")]
    assert len(names) > 50
    assert sorted(names) == sorted(set(names))
