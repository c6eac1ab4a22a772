"""The Python code of the README and of every page of docs/ runs, block after block."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[int, str]]:
    """The page's Python blocks, each with the line it begins on."""
    text = page.read_text()
    return [(text.count("\n", 0, found.start(1)), found[1]) for found in BLOCK.finditer(text)]


@pytest.mark.usefixtures("dynamodb_of_page", "moto_of_page", "cdk_of_page", "example_of_page")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, code in blocks(page):
        # Padded, so that a traceback shows the line of the page.
        exec(compile("\n" * line + code, str(page), "exec", dont_inherit=True), namespace)


def test_what_the_guide_shows_of_the_example_stands_there() -> None:
    page = (ROOT / "docs" / "how-to" / "write-an-adapter.md").read_text()
    shown = re.findall(r'^```\w+ title="(.*?)"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    assert len(shown) > 3
    for name, text in shown:
        (file,) = (ROOT / "examples" / "mainstem-journal").rglob(name)
        assert unindented(text) in unindented(file.read_text()), text


def unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def test_every_link_between_pages_leads_somewhere() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    listed = {ROOT / "docs" / name for name in re.findall(r"- (\S+\.md)", navigation)}
    assert listed == set(PAGES[1:])
