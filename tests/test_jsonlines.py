"""The format of JSON lines: what one line holds, and what is read from one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainstem
from jsonlines_help import line
from mainstem import InvalidInput, InvalidLine, RecordedEvent
from mainstem.codec import JsonCodec
from mainstem.transfer.jsonlines import BEGINNING_OF_LINE, commit_by, decode_line, encode_line
from mainstem.values.events import EncodedEvent

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(
    stream_id=text,
    event_id=st.integers(0, 2**63 - 1),
    name=text,
    payload=st.none() | text | st.dictionaries(text, st.integers() | text, max_size=3),
    metadata=st.none() | st.dictionaries(text, st.booleans(), max_size=3),
    recorded_at=st.datetimes(timezones=st.just(UTC)),
    commit_id=text,
)
def test_a_line_holds_all_of_an_event(
    stream_id: str,
    event_id: int,
    name: str,
    payload: Any,
    metadata: dict[str, bool] | None,
    recorded_at: datetime,
    commit_id: str,
) -> None:
    event = RecordedEvent(
        stream_id,
        mainstem.EventId(event_id),
        mainstem.Position(3),
        mainstem.Partition(0),
        name,
        msgspec.json.encode(payload).decode(),
        None if metadata is None else msgspec.json.encode(metadata).decode(),
        (recorded_at - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution),
        commit_id,
        JsonCodec(),
    )
    encoded = encode_line(event)
    assert encoded.count(b"\n") == 1
    imported = decode_line(encoded)
    assert imported.stream_id == event.stream_id
    assert imported.event_id == event.event_id
    assert imported.recorded_us == event.recorded_us
    assert imported.commit_id == event.commit_id
    assert imported.event == EncodedEvent(event.name, event.data, event.metadata_json)


def test_lines_without_a_commit_id_get_the_same_one_each_time() -> None:
    first, again, other = decode_line(line()), decode_line(line()), decode_line(line(1))
    assert first.commit_id == again.commit_id
    assert first.commit_id != other.commit_id


def recorded(data: str | bytes = "{}") -> RecordedEvent:
    return RecordedEvent(
        "a",
        mainstem.EventId(0),
        mainstem.Position(3),
        mainstem.Partition(0),
        "Tested",
        data,
        None,
        1,
        "c-1",
        JsonCodec(),
    )


def test_a_line_is_what_the_documentation_shows() -> None:
    assert encode_line(recorded()) == (
        b'{"stream_id":"a","event_id":0,"event_name":"Tested",'
        b'"recorded_at":"1970-01-01T00:00:00.000001Z","payload":{},"commit_id":"c-1",'
        b'"position":3,"partition":0}\n'
    )
    assert encode_line(recorded()).startswith(BEGINNING_OF_LINE)


def test_json_laid_out_over_several_lines_becomes_one() -> None:
    encoded = encode_line(recorded('{\n  "a": [1.0, 1e5],\n  "b": "\\n"\n}'))
    assert encoded.count(b"\n") == 1
    assert decode_line(encoded).event.data == '{"a":[1.0,1e5],"b":"\\n"}'


def test_payloads_keep_their_text() -> None:
    """No number is rounded, no key lost on the way."""
    text = '{"n":123456789012345678901234567890,"d":0.1000000000000000055,"n":1E5}'
    written = encode_line(recorded(text))
    assert decode_line(written).event.data == text


@given(st.binary(max_size=50))
def test_bytes_of_other_codecs_come_through(data: bytes) -> None:
    assert decode_line(encode_line(recorded(data))).event.data == data


@pytest.mark.parametrize(
    ("recorded_at", "moment"),
    [
        ("2026-01-01T01:00:00+01:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00.5Z", datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
        ("1969-12-31T23:59:59.999999Z", datetime(1970, 1, 1, tzinfo=UTC) - datetime.resolution),
    ],
)
def test_times_of_any_zone_are_read(recorded_at: str, moment: datetime) -> None:
    found = decode_line(line(recorded_at=recorded_at)).recorded_us
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found) == moment


def test_unknown_fields_are_passed_over() -> None:
    assert decode_line(line(more={"x": 1}, position=-1)).stream_id == "a"


def test_metadata_that_is_null_is_none() -> None:
    assert decode_line(line(metadata=None)).event.metadata is None


def test_commits_are_told_by_a_field_of_the_payload() -> None:
    commit_of = commit_by("payload.change.id")
    assert decode_line(line(payload={"change": {"id": 7}}), commit_of).commit_id == "7"
    own = line(payload={"change": {"id": 7}}, commit_id="own")
    assert decode_line(own, commit_of).commit_id == "own"


@pytest.mark.parametrize("payload", [{}, {"change": 1}, {"change": {"id": None}}, [], "text"])
def test_a_line_without_the_field_of_its_commit_is_an_error(payload: Any) -> None:
    with pytest.raises(InvalidLine, match=r"payload\.change\.id is neither"):
        decode_line(line(payload=payload), commit_by("payload.change.id"))


@pytest.mark.parametrize("path", ["", "payload", "commit", "payload.", "payload..a", "stream_id"])
def test_a_path_that_is_no_field_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="not the path"):
        commit_by(path)
