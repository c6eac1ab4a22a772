"""What the API reference makes of the code besides what mkdocstrings does: an extension of Griffe.

- A name in `backticks` of a docstring becomes a link where it has an entry in the reference.
- ``::`` before an example, which reStructuredText has, goes.
- What a constructor keeps of its parameters has their types, and a default that is a constant its value.
- Named tuples and msgspec structs have constructors like dataclasses.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import griffe

PAGES = Path(__file__).parent.parent / "docs" / "reference"

_NOT_TOLD = {"class-attribute", "instance-attribute", "module-attribute"}

_entry = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
_name = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)")
_before_example = re.compile(r"\n\n::\n\n|::\n\n")


class Reference(griffe.Extension):  # type: ignore[misc]  # only docs are made with it
    """Changes what was loaded of the package before it is shown."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Called once, when all modules are there."""
        self._paths = _paths(pkg)
        self._public = {target: path for path, target in _targets(pkg, self._paths.values())}
        self._change(pkg, pkg, None)

    def _change(
        self, pkg: griffe.Module, thing: griffe.Object, within: griffe.Class | None
    ) -> None:
        if thing.docstring is not None:
            thing.docstring.value = self._linked(thing.docstring.value, thing.module, within)
        if isinstance(thing, griffe.Function):
            _show_values(pkg, thing)
            _show_context(thing)
        if isinstance(thing, griffe.Class):
            within = thing
            _show_types(thing)
            _show_constructor(thing)
        if isinstance(thing, griffe.Attribute):
            thing.labels -= _NOT_TOLD
        for member in thing.members.values():
            if not isinstance(member, griffe.Alias):
                self._change(pkg, member, within)

    def _linked(self, text: str, module: griffe.Module, within: griffe.Class | None) -> str:
        def link(found: re.Match[str]) -> str:
            path = self._path_of(found[1], module, within)
            return found[0] if path is None else f"[`{found[1]}`][{path}]"

        text = _before_example.sub(
            lambda found: "\n\n" if found[0].startswith("\n") else ":\n\n", text
        )
        lines = text.split("\n")
        return "\n".join(
            line if line.startswith("    ") else _name.sub(link, line) for line in lines
        )

    def _path_of(self, name: str, module: griffe.Module, within: griffe.Class | None) -> str | None:
        """Where the reference has what a docstring names."""
        if within is not None and within.path in self._public and "." not in name:
            if name == within.name:
                return None
            if name in within.members:
                return f"{self._public[within.path]}.{name}"
        if name in module.members:  # two areas may have the same name
            known = self._public.get(_target(module.members[name]))
            if known is not None:
                return known
        if name in self._paths:
            return self._paths[name]
        owner, _, member = name.rpartition(".")
        return f"{self._paths[owner]}.{member}" if owner in self._paths else None


def _paths(pkg: griffe.Module) -> dict[str, str]:
    """What each entry is called in docstrings, by its last name or in full, and its path."""
    found = {f"mainstem.{name}": f"mainstem.errors.{name}" for name in pkg["errors"].classes}
    for page in sorted(PAGES.glob("*.md")):
        for path in _entry.findall(page.read_text()):
            module, _, name = path.rpartition(".")
            shown = module if module.endswith(f".{name}") else path
            found[shown] = path
    by_last = {shown.rpartition(".")[2]: path for shown, path in reversed(found.items())}
    return by_last | found


def _targets(pkg: griffe.Module, paths: Any) -> list[tuple[str, str]]:
    """Each path, and that of where it is defined."""
    found = []
    for path in paths:
        thing = pkg[path.removeprefix("mainstem.")] if path != "mainstem" else pkg
        found.append((path, _target(thing)))
    return found


def _target(thing: griffe.Object | griffe.Alias) -> str:
    return str(thing.target_path if isinstance(thing, griffe.Alias) else thing.path)


def _show_context(function: griffe.Function) -> None:
    """What ``@contextmanager`` makes of a generator."""
    decorators = {str(each.value) for each in function.decorators}
    if "contextmanager" in decorators and isinstance(function.returns, griffe.ExprSubscript):
        function.returns.left = griffe.ExprName("AbstractContextManager")


def _show_types(kind: griffe.Class) -> None:
    """``self.size = size`` says nothing; the parameter's type does."""
    constructor = kind.members.get("__init__")
    if not isinstance(constructor, griffe.Function):
        return
    types = {parameter.name: parameter.annotation for parameter in constructor.parameters}
    for member in kind.members.values():
        if isinstance(member, griffe.Attribute) and str(member.value) in types:
            member.annotation = member.annotation or types[str(member.value)]
            member.value = None


def _show_constructor(kind: griffe.Class) -> None:
    """One that nobody has written: of a named tuple or a struct, whose fields are its parameters."""
    if "__init__" in kind.members or not {"NamedTuple", "msgspec.Struct"} & set(
        map(str, kind.bases)
    ):
        return
    parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)]
    parameters += [
        griffe.Parameter(
            name,
            annotation=field.annotation,
            kind=griffe.ParameterKind.positional_or_keyword,
            default=field.value,
        )
        for name, field in kind.members.items()
        if isinstance(field, griffe.Attribute) and "property" not in field.labels
        if not name.startswith("_") and field.annotation is not None
    ]
    kind.set_member(
        "__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters))
    )


def _show_values(pkg: griffe.Module, function: griffe.Function) -> None:
    """A default that is a constant of a private module: what it is, not what it is called."""
    for parameter in function.parameters:
        if isinstance(parameter.default, (griffe.ExprName, griffe.ExprAttribute)):
            path = parameter.default.canonical_path.removeprefix("mainstem.")
            try:
                constant = pkg[path]
            except (KeyError, griffe.GriffeError):
                continue
            if isinstance(constant, griffe.Attribute) and not isinstance(
                constant.value, griffe.ExprAttribute
            ):
                parameter.default = constant.value
