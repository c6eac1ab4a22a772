"""Which URL schemes there are: our own, and those that installed packages name as entry points."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final, cast

from mainstem.errors import InvalidInput
from mainstem.schemes import Scheme
from mainstem.text.printable import printable, quoted
from mainstem.text.redaction import redacted, shown

GROUP: Final = "mainstem.schemes"
"""Of the entry points by which packages name theirs."""

OURS: Final = {"sqlite": "mainstem.sqlite.scheme", "dynamodb": "mainstem.dynamodb.scheme"}
"""Packages can't take these over: they are never looked for among the entry points."""

_EXTRAS: Final = {"dynamodb": "mainstem[dynamodb]"}
"""What to install for those that need libraries."""

_EXAMPLES: Final = (
    "sqlite:///shop.db, sqlite:////var/lib/shop.db, sqlite://:memory: or "
    "dynamodb://shop?region=eu-west-1"
)


def scheme_name(url: str) -> str:
    """The part before the first colon."""
    return url.partition(":")[0]


def scheme_of(url: str) -> Scheme:
    """The object that opens the stores of the URL's scheme.

    Raises `InvalidInput` if there is none, if it can't be imported, and if several packages have one.
    """
    if not isinstance(url, str):
        raise InvalidInput(f"{quoted(url, 200)} is not the URL of a store. {_known()}")
    name = scheme_name(url)
    if name in OURS:
        return _ours(name, url)
    found = _named(name)
    if not found:
        raise InvalidInput(f"{quoted(shown(url), 200)} is not the URL of a store. {_known()}")
    if len(found) > 1:
        raise InvalidInput(
            f"Several packages open {quoted(name)} URLs: "
            f"{', '.join(_package(each) for each in found)}. Uninstall all but one."
        )
    return _theirs(found[0])


def _ours(name: str, url: str) -> Scheme:
    try:
        # Not imported with Mainstem: a program with the embedded store needs no libraries of the other.
        return cast("Scheme", import_module(OURS[name]))
    except ModuleNotFoundError as error:
        library = (error.name or "a library").partition(".")[0]
        advice = (
            f"pip install '{_EXTRAS[name]}'" if name in _EXTRAS else "use a Python that has it."
        )
        raise InvalidInput(
            f"{shown(url)!r:.200} needs {library}, which is not installed: {advice}"
        ) from error


def _named(name: str) -> list[EntryPoint]:
    """The entry points of that name, each once, however often its package is found on the path."""
    found = entry_points(group=GROUP, name=name) if name else ()
    return list({(_package(each), each.value): each for each in found}.values())


def _theirs(entry_point: EntryPoint) -> Scheme:
    about = f"{quoted(entry_point.name)} URLs are opened by {_package(entry_point)}"
    where = printable(f"{GROUP}: {entry_point.name} = {entry_point.value}")
    try:
        scheme = entry_point.load()
    except Exception as error:  # whatever a package may do while it is imported
        said = printable(redacted(f"{type(error).__name__}: {error}")[:500])
        raise InvalidInput(
            f"{about}, which can't be imported ({where}). {said.rstrip('.')}. Install what it needs, or "
            "another release of it."
        ) from error
    if not isinstance(scheme, Scheme):
        raise InvalidInput(
            f"{about}, whose entry point has no functions open_blocking and open_async ({where}). "
            "Install a release of it that fits this release of Mainstem."
        )
    return scheme


def _package(entry_point: EntryPoint) -> str:
    if entry_point.dist is None:
        return "a package without a name"
    return printable(f"{entry_point.dist.name} {entry_point.dist.version}")


def _known() -> str:
    theirs = {each.name: _package(each) for each in entry_points(group=GROUP)}
    others = [f"{quoted(name)} of {theirs[name]}" for name in sorted(theirs.keys() - OURS)]
    schemes = ", ".join([*map(repr, OURS), *others])
    return (
        f"Give one such as {_EXAMPLES}. The schemes here are {schemes}; for another one, install the package "
        "of its adapter."
    )
