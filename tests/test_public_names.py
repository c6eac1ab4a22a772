"""The public surface: what is exported, what both stores share, the tree of errors, the layers."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import re
from types import ModuleType

import pytest

import mainstem
from mainstem import AsyncStore, AsyncSubscription, Store, Subscription, aws, errors, telemetry
from mainstem.errors import MainstemError
from source_help import PACKAGE, modules


def test_all_lists_what_is_exported() -> None:
    exported = {
        name
        for name, value in vars(mainstem).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(mainstem.__all__) == exported
    assert len(mainstem.__all__) == len(exported)


def test_every_exported_class_and_function_says_what_it_is() -> None:
    for name in mainstem.__all__:
        value = getattr(mainstem, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name


@pytest.mark.parametrize(("module", "page"), [(telemetry, "api"), (aws, "aws")])
def test_what_is_exported_is_documented(module: ModuleType, page: str) -> None:
    reference = (PACKAGE.parent.parent / "docs" / "reference" / f"{page}.md").read_text()
    for name in module.__all__:
        assert getattr(module, name).__doc__, name
        assert f"::: {module.__name__}.{name}\n" in reference, name


# Both stores


def public(kind: type) -> dict[str, object]:
    return {name: value for name, value in vars(kind).items() if not name.startswith("_")}


def parameters(function: object) -> list[inspect.Parameter]:
    assert callable(function)
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize(
    ("blocking", "asynchronous"), [(Store, AsyncStore), (Subscription, AsyncSubscription)]
)
def test_both_have_the_same_verbs_with_the_same_signatures(
    blocking: type, asynchronous: type
) -> None:
    ours, theirs = public(blocking), public(asynchronous)
    assert list(ours) == list(theirs)
    for name, verb in ours.items():
        if isinstance(verb, property):
            continue
        assert parameters(verb) == parameters(theirs[name]), name


def test_what_touches_storage_is_awaited() -> None:
    at_once = {"read_lazily", "read_all", "streams", "subscribe", "follow"}
    for name, verb in public(AsyncStore).items():
        if not isinstance(verb, property):
            assert inspect.iscoroutinefunction(verb) == (name not in at_once), name


def test_every_verb_is_described() -> None:
    for kind in (Store, AsyncStore, Subscription, AsyncSubscription):
        for name, verb in public(kind).items():
            assert inspect.getdoc(verb), f"{kind.__name__}.{name}"


# Errors


def drawn_tree() -> list[tuple[str, str]]:
    """(error, base) for each line of the tree in the module's docstring."""
    assert errors.__doc__ is not None
    path: list[str] = []
    found = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"^    ([│├└─ ]*)([A-Z]\w+)\b", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            found.append((match[2], path[depth - 1] if depth else "Exception"))
    return found


def defined_errors() -> list[type[MainstemError]]:
    return [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, MainstemError)
    ]


def test_the_tree_that_is_drawn_is_the_tree_there_is() -> None:
    assert sorted(drawn_tree()) == sorted(
        (error.__name__, error.__bases__[0].__name__) for error in defined_errors()
    )


def test_every_error_is_exported_and_described() -> None:
    for error in defined_errors():
        assert error.__name__ in mainstem.__all__
        assert error.__doc__


def test_no_error_lies_outside_of_the_tree() -> None:
    in_tree = {error.__name__ for error in defined_errors()}
    classes = [
        (module, node.name, {ast.unparse(base).rpartition(".")[2] for base in node.bases})
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    assert len([name for _, name, _ in classes if name in in_tree]) == len(in_tree)
    outside = [
        f"{module}.{name}"
        for module, name, bases in classes
        if bases & in_tree and module != "mainstem.errors"
    ]
    assert outside == []


def example(error: type[MainstemError]) -> MainstemError:
    """One made with a value for each parameter."""
    by_name: dict[str, object] = {"size": 9, "limit": 8, "attempts": 3, "expected": mainstem.ANY}
    if error.__init__ is MainstemError.__init__:
        return error("what happened")
    names = list(inspect.signature(error).parameters)
    return error(*(by_name.get(name, f"some {name}") for name in names))


@pytest.mark.parametrize("error", defined_errors())
def test_errors_pass_between_processes_whole(error: type[MainstemError]) -> None:
    raised = example(error)
    for passed in (pickle.loads(pickle.dumps(raised)), copy.copy(raised)):
        assert type(passed) is error
        assert str(passed) == str(raised)
        assert vars(passed) == vars(raised)


# Tests of users


def test_the_testing_helpers_need_no_test_framework() -> None:
    tree = ast.parse((PACKAGE / "testing" / "__init__.py").read_text())
    direct = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for module in direct:
        assert module is not None
        path = PACKAGE.parent / (module.replace(".", "/") + ".py")
        assert not re.search(r"^(import|from) (pytest|hypothesis)", path.read_text(), re.MULTILINE)
