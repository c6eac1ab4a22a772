"""How deep JSON is nested is found without taking it apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.codec.nesting import MAX_DEPTH, is_too_deep

texts = st.text(st.sampled_from('[]{}"\\,:a\n☃'), max_size=8)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@st.composite
def deep_values(draw: st.DrawFn) -> Any:
    """About as deep as is allowed, with texts that look like nesting, and breadth."""
    value: Any = draw(texts)
    for _ in range(draw(st.integers(MAX_DEPTH - 3, MAX_DEPTH + 3))):
        text = draw(texts)
        value = draw(
            st.sampled_from(
                [[value], [text, value], {text: value}, {"a": [], text: value}, [value, {}]]
            )
        )
    return value


@settings(max_examples=200, deadline=None, derandomize=True)
@given(deep_values(), st.booleans(), st.sampled_from([None, 1]))
def test_the_depth_is_told_exactly(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert is_too_deep(text) == (depth(value) > MAX_DEPTH)


@pytest.mark.parametrize(
    ("text", "too_deep"),
    [
        ("[" * 100 + "]" * 100, False),
        ("[" * 101 + "]" * 101, True),
        ('{"a":' * 101 + "1" + "}" * 101, True),
        ("[" + "[]," * 5000 + "[]]", False),
        ('["' + "[" * 500 + '"]', False),
        ('["\\"' + "[" * 500 + '\\\\",[]]', False),
        ('["]",' * 101 + "1" + ',"["]' * 101, True),
        ('["a","]","b",' * 101 + "1" + ',"c","[","d"]' * 101, True),
    ],
)
def test_brackets_in_texts_do_not_count(text: str, too_deep: bool) -> None:
    json.loads(text)
    assert is_too_deep(text) == too_deep
