"""Expressions and PartiQL statements of requests. They depend on names only: each is made once and kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from mainstem.dynamodb.client.items import Table

_KEPT: Final = 1024
"""How many expressions of each kind are kept."""


@lru_cache(_KEPT)
def projection(attributes: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    names = {f"#p{n}": name for n, name in enumerate(dict.fromkeys(attributes))}
    return ", ".join(names), names


@lru_cache(_KEPT)
def changes(
    set_: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...]
) -> tuple[str, Mapping[str, str]]:
    """An update expression and its names."""
    clauses: list[str] = []
    names: dict[str, str] = {}
    for clause, attributes, form in (
        ("SET", set_, "#s{0} = :s{0}"),
        ("ADD", add, "#a{0} :a{0}"),
        ("REMOVE", remove, "#r{0}"),
    ):
        if attributes:
            parts = ", ".join(form.format(n) for n in range(len(attributes)))
            clauses.append(f"{clause} {parts}")
            letter = clause[0].lower()
            names |= {f"#{letter}{n}": name for n, name in enumerate(attributes)}
    return " ".join(clauses), names


@lru_cache(_KEPT)
def insertion(table: str, attributes: tuple[str, ...]) -> str:
    """PartiQL: a name is quoted with ``"``, text with ``'``; both are doubled within."""
    pairs = ", ".join("'{}': ?".format(name.replace("'", "''")) for name in attributes)
    return f"INSERT INTO {_quoted(table)} VALUE {{{pairs}}}"


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


@lru_cache(_KEPT)
def changing(
    table: Table, set_: tuple[str, ...], remove: tuple[str, ...], attribute: str | None, form: str
) -> str:
    changes = [f"SET {_quoted(name)} = ?" for name in set_]
    changes += [f"REMOVE {_quoted(name)}" for name in remove]
    where = f"{_quoted(table.hash_key)} = ? AND {_quoted(table.sort_key)} = ?"
    if attribute is not None:
        where += f" AND {_quoted(attribute)} {form} ?"
    return f"UPDATE {_quoted(table.name)} {' '.join(changes)} WHERE {where}"
