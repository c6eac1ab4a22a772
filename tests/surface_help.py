"""The public surface: what the `__all__` of each area names, and what is written in its signatures."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

from mainstem import AsyncSubscription, Subscription
from mainstem.testing import Given, When
from source_help import modules

AREAS = (
    "mainstem",
    "mainstem.aws",
    "mainstem.codec",
    "mainstem.drive",
    "mainstem.dynamodb",
    "mainstem.port",
    "mainstem.schemes",
    "mainstem.sqlite.verification",
    "mainstem.telemetry",
    "mainstem.testing",
    "mainstem.testing.contract",
    "mainstem.testing.invariants",
    "mainstem.testing.portal",
    "mainstem.transfer",
    "mainstem.verbs.importing",
)

CDK = ("mainstem.aws.cdk", "EventStore")
"""Public too, but only looked at: importing it starts Node.js, and takes seconds."""

GIVEN_OUT = (Subscription, AsyncSubscription, Given, When)
"""Nobody makes these, so their constructors are no part of the surface."""


class Public(NamedTuple):
    """A name of some area's `__all__`."""

    area: str
    name: str
    value: Any

    @property
    def path(self) -> str:
        return f"{self.area}.{self.name}"


@cache
def surface() -> tuple[Public, ...]:
    """Each public name, once for each area that has it."""
    found = []
    for area in AREAS:
        module = import_module(area)
        found += [Public(area, name, getattr(module, name)) for name in module.__all__]
    return tuple(found)


def signatures() -> Iterator[tuple[str, Any]]:
    """(where, what has annotations): the functions, the classes, and the classes' own methods and
    properties, constructors included.
    """
    for public in surface():
        if inspect.isclass(public.value):
            yield public.path, public.value
            for name, function in functions(public.value):
                yield f"{public.path}.{name}", function
        elif inspect.isfunction(public.value):
            yield public.path, inspect.unwrap(public.value)


def functions(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public methods and properties that the class itself has, and its constructor."""
    for name, value in vars(kind).items():
        if name.startswith("_") and (name != "__init__" or kind in GIVEN_OUT):
            continue
        if isinstance(value, property):
            value = value.fget
        elif isinstance(value, (classmethod, staticmethod)):
            value = value.__func__
        if inspect.isfunction(value):
            yield name, inspect.unwrap(value)


def names_in(annotated: Any) -> Iterator[tuple[str, Any]]:
    """The names that stand in the annotations of a function or a class, with what they mean there."""
    module = import_module(annotated.__module__)
    for name, annotation in annotated.__annotations__.items():
        if name.startswith("_") and inspect.isclass(annotated):
            continue
        text = getattr(annotation, "__forward_arg__", annotation)
        if isinstance(text, str):
            for node in ast.walk(ast.parse(text, mode="eval")):
                if isinstance(node, ast.Name) and hasattr(module, node.id):
                    yield node.id, getattr(module, node.id)


@cache
def _defined() -> dict[str, set[str]]:
    """Per name that a module of the package defines at its top level, the modules."""
    found: dict[str, set[str]] = {}
    for module, tree in modules().items():
        for node in tree.body:
            match node:
                case ast.ClassDef(name=name):
                    found.setdefault(name, set()).add(module)
                case (
                    ast.AnnAssign(target=ast.Name(id=name))
                    | ast.Assign(targets=[ast.Name(id=name)])
                ):
                    found.setdefault(name, set()).add(module)
    return found


def is_ours(name: str, value: Any) -> bool:
    """Whether a module of the package defines it. Type variables stand for what is somebody else's."""
    return not isinstance(value, TypeVar) and any(
        getattr(import_module(module), name, None) is value for module in _defined().get(name, ())
    )


def classes() -> set[tuple[str, str]]:
    """(module, name) of each public class."""
    return {
        (public.value.__module__, public.value.__name__)
        for public in surface()
        if inspect.isclass(public.value)
    } | {CDK}


def attributes(module: str, name: str) -> Iterator[tuple[str, bool]]:
    """The public attributes, properties and methods that a class itself has (the tests of a suite are
    none), and whether each has a docstring of its own.
    """
    found: dict[str, bool] = {}
    for node, following in _with_following(_class_node(module, name).body):
        match node:
            case ast.FunctionDef(name="__init__"):
                for attribute, described in _set_by(node):
                    found.setdefault(attribute, described)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not name.startswith("test_") and not _is_overload(node):
                    found[name] = ast.get_docstring(node) is not None
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                found[name] = _is_text(following)
    return (
        (name, described)
        for name, described in found.items()
        if not name.startswith("_") or name == "__call__"
    )


def _set_by(constructor: ast.FunctionDef) -> Iterator[tuple[str, bool]]:
    """What the constructor sets."""
    for node, following in _with_following(constructor.body):
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Attribute):
                yield target.attr, _is_text(following)


def _with_following(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, ast.stmt | None]]:
    return zip(body, [*body[1:], None], strict=True)


def _is_text(node: ast.stmt | None) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list)


def _class_node(module: str, name: str) -> ast.ClassDef:
    return next(
        node
        for node in modules()[module].body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
