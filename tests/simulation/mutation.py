"""Running the simulation on code that was changed, beside the sound code."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

_OURS = ("mainstem.dynamodb.", "mainstem.aws.", "simulation.", "aws_help.", "repair_help.")


class Edit(NamedTuple):
    module: str
    """Behind ``mainstem.``."""
    old: str
    """Stands in the module exactly once."""
    new: str


class Mutant(NamedTuple):
    name: str
    invariant: str
    """Which one the simulation sees broken."""
    edits: Sequence[Edit]


def catching_seed(
    mutant: Mutant, seeds: Iterable[int], scenario: str = "simulation.scenario"
) -> int | None:
    """The first of the seeds that shows it, if any does."""
    with mutated(mutant, scenario) as run_seed:
        for seed in seeds:
            try:
                run_seed(seed)
            except Exception as error:
                if mutant.invariant in getattr(error, "invariants", {"errors"}):
                    return seed
    return None


@contextmanager
def mutated(
    mutant: Mutant, scenario: str = "simulation.scenario"
) -> Iterator[Callable[[int], Any]]:
    """The ``run_seed`` of a module, on the mutant. What was imported before stays as it is."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_ours(name)}
    finder = _Finder(mutant)
    sys.meta_path.insert(0, finder)
    try:
        run_seed = importlib.import_module(scenario).run_seed
        assert not finder.left, f"not imported: {finder.left}"
        yield run_seed
    finally:
        sys.meta_path.remove(finder)
        changed = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_ours(name)}
        sys.modules.update(kept)
        for name in changed.keys() | kept.keys():
            _set_in_package(name, kept.get(name))


def _set_in_package(name: str, module: ModuleType | None) -> None:
    """A package has its modules as attributes, too. One that was exchanged as a whole is as it was."""
    package, _, attribute = name.rpartition(".")
    there = sys.modules.get(package)
    if there is None or _is_ours(package):
        return
    if module is not None:
        setattr(there, attribute, module)
    elif hasattr(there, attribute):
        delattr(there, attribute)


def _is_ours(name: str) -> bool:
    return f"{name}.".startswith(_OURS)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports the modules of a mutant from changed source."""

    def __init__(self, mutant: Mutant) -> None:
        self.left: dict[str, list[Edit]] = {}
        for edit in mutant.edits:
            self.left.setdefault(f"mainstem.{edit.module}", []).append(edit)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.left:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def get_source(self, fullname: str) -> str:
        found = importlib.machinery.PathFinder.find_spec(
            fullname, sys.modules[fullname.rpartition(".")[0]].__path__
        )
        assert found is not None
        assert found.origin is not None
        source = Path(found.origin).read_text(encoding="utf-8")
        for _, old, new in self.left.pop(fullname):
            assert source.count(old) == 1, f"{fullname} has {source.count(old)} times: {old}"
            source = source.replace(old, new)
        return source
