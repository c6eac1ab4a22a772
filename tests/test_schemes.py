"""Schemes of URLs: ours, those of installed packages, and what is said where there is none."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mainstem
import mainstem.dynamodb.scheme
import mainstem.sqlite.scheme
from mainstem import InvalidInput
from mainstem.cli.app import run
from mainstem.registry import GROUP, OURS, scheme_of
from mainstem.schemes import Scheme, Sequenced, Verifying
from source_help import PACKAGE, modules

SCHEME = """
from mainstem.sqlite.open import open_async
from mainstem.sqlite import open as sqlite

def open_blocking(url, *, create, client):
    return sqlite.open_blocking("sqlite://:memory:", create=create)
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package on the path as pip does, with what its metadata say of its entry points."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    installed: list[str] = []

    def install(package: str, code: str, *, scheme: str = "odd", attribute: str = "") -> None:
        module = package.replace("-", "_")
        (folder / f"{module}.py").write_text(code)
        installed.append(module)
        metadata = folder / f"{module}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n"
        )
        (metadata / "entry_points.txt").write_text(
            f"[{GROUP}]\n{scheme} = {module}{attribute and ':'}{attribute}\n"
        )

    yield install
    for module in installed:
        sys.modules.pop(module, None)


def refusal(url: str) -> str:
    """What is said of a URL that can't be opened, blocking or not."""
    with pytest.raises(InvalidInput) as refused:
        mainstem.connect(url)
    with pytest.raises(InvalidInput, match=re.escape(str(refused.value))):
        mainstem.connect_async(url)
    return str(refused.value)


def test_ours_are_schemes() -> None:
    sqlite: Scheme = mainstem.sqlite.scheme
    dynamodb: Scheme = mainstem.dynamodb.scheme
    assert scheme_of("sqlite://:memory:") is sqlite
    assert scheme_of("dynamodb://shop") is dynamodb
    assert isinstance(sqlite, Verifying)
    assert not isinstance(sqlite, Sequenced)
    assert isinstance(dynamodb, Verifying)
    assert isinstance(dynamodb, Sequenced)


def test_a_package_brings_a_scheme(install: Install) -> None:
    install("mainstem-odd", SCHEME)
    with mainstem.connect("odd://shop") as store:
        assert store.append("order-1", [mainstem.NewEvent("Placed", 1)], expected=0).version == 1


@pytest.mark.parametrize(
    ("url", "library", "says"),
    [
        ("dynamodb://shop", "botocore", "which is not installed: pip install 'mainstem[dynamodb]'"),
        ("sqlite://:memory:", "sqlite3", "which is not installed: use a Python that has it."),
    ],
)
def test_where_a_library_is_missing_the_advice_is_one_that_helps(
    url: str, library: str, says: str
) -> None:
    code = f"""
import sys
sys.modules[{library!r}] = None
import mainstem
try:
    mainstem.connect({url!r})
except mainstem.InvalidInput as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout == f"{url!r} needs {library}, {says}\n"


def test_an_unknown_scheme_is_answered_with_those_that_there_are(install: Install) -> None:
    install("mainstem-odd", SCHEME)
    said = refusal("even://shop")
    assert "'even://shop' is not the URL of a store" in said
    assert "The schemes here are 'sqlite', 'dynamodb', 'odd' of mainstem-odd 1.2;" in said
    assert "install the package of its adapter" in said


@pytest.mark.parametrize("url", ["", ":", "//", "shop.db", "even", "even:shop", "\0://", "é://x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    assert "is not the URL of a store" in refusal(url)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(
        InvalidInput, match=r"^17 is not the URL of a store\. Give one such as sqlite:"
    ):
        mainstem.connect(17)  # type: ignore[arg-type]


def test_secrets_of_a_url_are_not_told(install: Install) -> None:
    install("mainstem-odd", "raise ImportError('no server at odd://ada:geheim@host/')")
    for url in ("even://ada:geheim@host/shop?token=geheim", "odd://ada:geheim@host/?token=geheim"):
        assert "geheim" not in refusal(url)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import redis_of_the_year", "ModuleNotFoundError: No module named 'redis_of_the_year'"),
        ("from mainstem import Nothing", "ImportError: cannot import name 'Nothing'"),
        ("raise RuntimeError('not on Tuesdays')", "RuntimeError: not on Tuesdays."),
        ("def broken(", "SyntaxError: "),
    ],
)
def test_a_package_that_can_not_be_imported_is_named_with_its_error(
    install: Install, code: str, said: str
) -> None:
    install("mainstem-odd", code)
    told = refusal("odd://shop")
    assert told.startswith("'odd' URLs are opened by mainstem-odd 1.2, which can't be imported ")
    assert "(mainstem.schemes: odd = mainstem_odd)" in told
    assert said in told


def test_a_module_that_lacks_the_named_object_is_told(install: Install) -> None:
    install("mainstem-odd", SCHEME, attribute="scheme")
    told = refusal("odd://shop")
    assert "mainstem-odd 1.2" in told
    assert "AttributeError" in told


def test_what_is_no_scheme_is_refused(install: Install) -> None:
    install("mainstem-odd", "def open_blocking(url): ...")
    assert "no functions open_blocking and open_async" in refusal("odd://shop")


def test_of_two_packages_with_one_scheme_neither_wins(install: Install) -> None:
    install("mainstem-odd", SCHEME)
    install("another-odd", SCHEME)
    told = refusal("odd://shop")
    assert "Several packages open 'odd' URLs: " in told
    assert "another-odd 1.2" in told
    assert "mainstem-odd 1.2" in told
    assert "Uninstall all but one" in told


@pytest.mark.parametrize("scheme", OURS)
def test_ours_can_not_be_taken_over(install: Install, scheme: str) -> None:
    install("mainstem-odd", "raise AssertionError", scheme=scheme)
    assert scheme_of(f"{scheme}://shop").__name__ == f"mainstem.{scheme}.scheme"  # type: ignore[attr-defined]
    assert "mainstem-odd" not in refusal("even://shop")


# Commands


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create-tables",), "no tables to create"),
        (("deploy", "--yes"), "nothing to deploy"),
        (("destroy", "--yes"), "nothing to deploy"),
        (("sequence",), "no log to sequence, segment or repair"),
        (("segment",), "no log to sequence, segment or repair"),
        (("repair",), "no log to sequence, segment or repair"),
        (("redrive",), "no log to sequence, segment or repair"),
        (("verify",), "no check of its own"),
    ],
)
def test_commands_say_what_a_scheme_has_no_use_for(
    install: Install, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    install("mainstem-odd", SCHEME)
    assert run(["--url", "odd://ada:geheim@host/shop?token=geheim", *arguments]) == 2
    told = capfd.readouterr().err
    assert f"is a store of the scheme 'odd', which has {said}." in " ".join(told.split())
    assert "geheim" not in told


def test_commands_say_what_the_scheme_wants_said(
    install: Install, capfd: pytest.CaptureFixture[str]
) -> None:
    install("mainstem-odd", f"{SCHEME}\nLACKS = {{'tables': 'keeps its tables in its head.'}}")
    assert run(["--url", "odd://shop", "create-tables"]) == 2
    assert "odd://shop keeps its tables in its head." in capfd.readouterr().err


def test_the_other_commands_work_on_every_scheme(
    install: Install, capfd: pytest.CaptureFixture[str]
) -> None:
    install("mainstem-odd", SCHEME)
    assert run(["--url", "odd://shop", "append", "order-1", "Placed", "1"]) == 0
    assert run(["--url", "odd://shop", "status"]) == 0
    assert run(["--url", "odd://shop", "replay"]) == 0


# Who may know which stores there are

AWS_COMMANDS = {"deploy", "redrive", "repair", "sequence", "tables"}
"""About the tables on DynamoDB, and what is deployed beside them: they ask first whether a store has such."""


def of_no_adapter() -> Iterator[tuple[str, ast.Module]]:
    """The modules that any adapter's store goes through."""
    for name, tree in modules().items():
        part = name.split(".")[1] if "." in name else ""
        about_aws = part == "aws" or name in {f"mainstem.cli.{each}" for each in AWS_COMMANDS}
        if part not in OURS and not about_aws and name != "mainstem.registry":
            yield name, tree


def test_nothing_above_the_adapters_imports_one() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, tree in of_no_adapter()
        for node in ast.walk(tree)  # for type checking, too
        for imported in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if imported.startswith(tuple(f"mainstem.{scheme}" for scheme in OURS))
    ]
    assert wrong == []


def test_nothing_above_the_adapters_asks_which_store_it_is() -> None:
    """The name of a scheme stands in texts for people, and in URLs that are made, only."""
    wrong = [
        f"{name}:{node.lineno}: {node.value!r}"
        for name, tree in of_no_adapter()
        if name != "mainstem.telemetry.opentelemetry"  # which names systems as OpenTelemetry does
        for node in of_no_template(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.strip().rstrip(":/") in OURS
    ]
    assert wrong == []


def of_no_template(tree: ast.AST) -> Iterator[ast.AST]:
    """As `ast.walk`, without what is in an f-string."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.JoinedStr):
            yield from of_no_template(child)


def test_commands_about_aws_ask_first_whether_the_store_needs_them() -> None:
    for name in AWS_COMMANDS:
        source = (PACKAGE / "cli" / f"{name}.py").read_text()
        commands = source.count("@pass_chosen")
        assert commands == source.count("chosen.check_needs("), name
