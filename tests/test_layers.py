"""Who may import whom: the tables in CONTRIBUTING.md, held against the code."""

from __future__ import annotations

import ast
import re

import pytest

from source_help import PACKAGE, imports, modules

PAGE = PACKAGE.parent.parent / "CONTRIBUTING.md"
PURE = ("text", "errors", "values", "codec", "port", "drive", "verbs")


def table(folder: str) -> list[tuple[str, ...]]:
    """The lines of a folder's table, each with the names in its first column."""
    section = PAGE.read_text().partition(f"### `src/{folder}/`")[2].partition("\n#")[0]
    rows = re.findall(r"^\| ((?:`[\w/]+` ?)+)\|", section, re.MULTILINE)
    return [tuple(re.findall(r"`(\w+)/?`", row)) for row in rows]


def part(module: str, folder: str) -> str:
    """The part of the folder that the module is in."""
    inner = module.removeprefix(folder.replace("/", ".")).split(".")
    return inner[1] if len(inner) > 1 else "__init__"


FOLDERS = ("mainstem", "mainstem/dynamodb")


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_table_has_every_part_of_the_folder_once(folder: str) -> None:
    listed = [name for row in table(folder) for name in row]
    there = {
        path.stem
        for path in (PACKAGE.parent / folder).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    if folder != "mainstem":
        there.discard("__init__")  # makes what is below it public
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_imports_from_below_it_in_the_table(folder: str) -> None:
    order = {name: number for number, row in enumerate(table(folder)) for name in row}
    within = folder.replace("/", ".")
    wrong = [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        for imported in imports(tree)
        if _is_in(name, within) and _is_in(imported, within)
        if part(name, folder) in order and part(imported, folder) in order
        if order[part(imported, folder)] > order[part(name, folder)]
    ]
    assert wrong == []


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_nothing_imports_in_a_circle() -> None:
    graph = {
        name: {each for each in imports(tree) if each != name} for name, tree in modules().items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " imports ".join((*path[path.index(name) :], name))
        if name in done:
            return
        for each in sorted(graph[name]):
            visit(each, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_decisions_do_no_input_or_output() -> None:
    forbidden = {"sqlite3", "asyncio", "threading", "socket", "time", "os", "subprocess"}
    for name, tree in modules().items():
        if part(name, "mainstem") not in PURE:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not forbidden & {alias.name for alias in node.names}, name
            elif isinstance(node, ast.ImportFrom) and node.module in forbidden:
                assert {alias.name for alias in node.names} <= {"urandom"}, name
