"""The words of the code and the pages: those that the glossary replaces are not used."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"
REPLACED = "## Words that we replace"


def replaced() -> list[str]:
    """The words in the first column of the glossary's table of words to be replaced."""
    table = GLOSSARY.read_text().partition(REPLACED)[2]
    rows = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:]
    return [word.strip() for row in rows for word in row.split(",") if word.strip("- ")]


def texts() -> Iterator[Path]:
    """What users and contributors read: pages, code with its docstrings and messages, examples."""
    yield from (path for path in ROOT.glob("*.md"))
    for folder in ("docs", "src", "examples"):
        yield from sorted((ROOT / folder).rglob("*.md"))
        yield from sorted((ROOT / folder).rglob("*.py"))


def defined() -> list[str]:
    """The words in the first column of the glossary's first table."""
    table = GLOSSARY.read_text().partition(REPLACED)[0]
    return re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:]


def test_the_glossary_has_words_to_look_for() -> None:
    assert {"shall", "whoever", "anew"} <= set(replaced())


def test_each_word_is_explained_once() -> None:
    words = defined()
    assert len(words) > 30
    assert sorted(words) == sorted(set(words))


@pytest.mark.parametrize("word", replaced())
def test_a_replaced_word_is_not_used(word: str) -> None:
    uses = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if uses.search(line) and not (path == GLOSSARY and line.startswith("|"))
    ]
    assert not found, f"the glossary replaces {word!r}"
