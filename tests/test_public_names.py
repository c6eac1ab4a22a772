"""The public surface: what is exported, what both stores share, the tree of errors, the layers."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import re
import subprocess
import sys
from importlib import import_module
from types import ModuleType
from typing import get_type_hints

import pytest

import mainstem
from example_help import EXAMPLE
from mainstem import AsyncStore, AsyncSubscription, Store, Subscription, errors
from mainstem.errors import MainstemError
from source_help import PACKAGE, modules
from surface_help import AREAS, CDK, attributes, classes, is_ours, names_in, signatures, surface


def test_all_lists_what_is_exported() -> None:
    exported = {
        name
        for name, value in vars(mainstem).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(mainstem.__all__) == exported
    assert len(mainstem.__all__) == len(exported)


def test_packages_that_are_not_public_export_nothing() -> None:
    packages = {
        name for name in modules() if (PACKAGE.parent / name.replace(".", "/")).is_dir()
    } - set(AREAS)
    exporting = {
        name
        for name in packages
        for node in modules()[name].body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    }
    assert exporting == set()


@pytest.mark.parametrize("area", AREAS)
def test_every_name_of_an_area_is_there_once(area: str) -> None:
    module = import_module(area)
    assert all(hasattr(module, name) for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)


def test_every_exported_class_and_function_says_what_it_is() -> None:
    for path, value in ((public.path, public.value) for public in surface()):
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, path


def test_to_import_it_imports_nothing_that_is_optional() -> None:
    optional = ("aiohttp", "botocore", "click", "hypothesis", "opentelemetry", "pydantic", "rich")
    code = f"import sys, mainstem; print([name for name in {optional} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_whatever_a_public_signature_names_is_public() -> None:
    known = [public.value for public in surface()]
    private = {
        f"{where} names {name}"
        for where, annotated in signatures()
        for name, value in names_in(annotated)
        if is_ours(name, value) and not any(value is each for each in known)
    }
    assert private == set()


def test_the_annotations_of_all_that_is_public_can_be_resolved() -> None:
    """As those do who inject dependencies, or make schemas of classes."""
    for where, annotated in signatures():
        try:
            get_type_hints(annotated)
        except NameError as error:
            raise AssertionError(f"{where}: {error}") from error


REFERENCE = PACKAGE.parent.parent / "docs" / "reference"


def entries() -> list[str]:
    """What has an entry of its own in the reference. That of `mainstem.errors` has each error."""
    found = [
        path
        for page in sorted(REFERENCE.glob("*.md"))
        for path in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)
    ]
    return found + [f"mainstem.errors.{error.__name__}" for error in defined_errors()]


def test_every_public_name_has_one_entry_in_the_reference() -> None:
    paths = [tuple(path.rsplit(".", 1)) for path in entries()]
    assert CDK in paths
    values = [
        getattr(import_module(module), name) for module, name in paths if (module, name) != CDK
    ]
    without = [
        public.path for public in surface() if not any(public.value is each for each in values)
    ]
    assert without == []
    assert sorted(set(entries())) == sorted(entries())


def test_the_example_of_an_adapter_needs_nothing_private() -> None:
    there = {(public.area, public.name) for public in surface()}
    private = {
        (node.module, name.name)
        for path in (EXAMPLE / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mainstem"
        for name in node.names
    } - there
    assert private == set()


def test_every_public_attribute_and_method_has_a_line() -> None:
    without = {
        f"{module}.{kind}.{name}"
        for module, kind in classes()
        for name, described in attributes(module, kind)
        if not described
    }
    assert without == set()


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
