"""Import: round trips with export, repeating, killing, and files that are not what they should be."""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainstem
from jsonlines_help import line
from mainstem import Append, ImportConflict, InvalidLine, NewEvent
from mainstem.port import ImportedEvent, Limits
from mainstem.transfer import ImportSummary, export_events, import_events
from mainstem.transfer.compression import Compression, compress
from mainstem.transfer.importing import CHUNK_SIZE, _chunks
from mainstem.transfer.jsonlines import commit_by, decode_line
from process_help import kill_when, mainstem_process
from transfer_help import COMPRESSIONS, MEMORY, exported, fill_shop

INCIDENTS = Path(mainstem.__file__).parent / "demo" / "incidents-small.jsonl.gz"


def import_bytes(store: mainstem.Store | None, data: bytes, **options: Any) -> ImportSummary:
    return import_events(store, io.BytesIO(data), name="test.jsonl", **options)


@pytest.fixture
def store() -> Iterator[mainstem.Store]:
    with mainstem.connect(MEMORY) as store:
        yield store


@pytest.fixture
def shop(store: mainstem.Store) -> mainstem.Store:
    fill_shop(store)
    return store


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_imported_export_replays_the_same(
    shop: mainstem.Store, compression: Compression
) -> None:
    with mainstem.connect(MEMORY) as copy:
        assert import_bytes(copy, exported(shop, compression)) == ImportSummary(5, 5, 0)
        assert list(copy.read_all()) == list(shop.read_all())


ids = st.sampled_from(["a", "a-1", "a-2", "é\n☃"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["Placed", "Paid"])
metadata = st.none() | st.dictionaries(st.sampled_from(["by", "é"]), texts, max_size=2)
new_events = st.lists(st.builds(NewEvent, names, values, metadata), min_size=1, max_size=3)
commits = st.lists(st.dictionaries(ids, new_events, min_size=1, max_size=3), max_size=5)


@settings(deadline=None)
@given(commits, st.sampled_from(COMPRESSIONS), st.floats(0, 1))
def test_any_log_comes_through_whole_after_any_interruption(
    commits: list[dict[str, list[NewEvent]]], compression: Compression, kept: float
) -> None:
    with mainstem.connect(MEMORY) as ours, mainstem.connect(MEMORY) as copy:
        for commit in commits:
            ours.append_many([Append(name, new, mainstem.ANY) for name, new in commit.items()])
        whole = exported(ours, compression)
        file = io.BytesIO(whole[: round(len(whole) * kept)])
        with suppress(InvalidLine):
            import_bytes(copy, file.getvalue())
        export_events(ours, file, compression=compression, resume=True)
        assert file.getvalue() == whole
        import_bytes(copy, whole)
        assert list(copy.read_all()) == list(ours.read_all())


def test_importing_again_changes_nothing(shop: mainstem.Store) -> None:
    before = list(shop.read_all())
    assert import_bytes(shop, exported(shop)) == ImportSummary(5, 0, 5)
    assert list(shop.read_all()) == before


def test_an_imported_commit_can_be_repeated_as_an_append(shop: mainstem.Store) -> None:
    with mainstem.connect(MEMORY) as copy:
        import_bytes(copy, exported(shop))
        again = [
            Append("order-2", [NewEvent("OrderPlaced", "text"), NewEvent("OrderPaid", None)], 0),
            Append("order-1", [NewEvent("OrderPaid", 7)], 1),
        ]
        assert all(result.repeated for result in copy.append_many(again, commit_id="both"))
        assert copy.head() == 5


def test_bytes_of_another_codec_come_through(store: mainstem.Store) -> None:
    data = line(payload=..., payload_base64="gQ==")
    import_bytes(store, data)
    (event,) = store.read_all()
    assert event.data == b"\x81"
    assert b'"payload_base64":"gQ=="' in exported(store)


def test_real_data_is_imported_and_exported_whole(store: mainstem.Store) -> None:
    with INCIDENTS.open("rb") as file:
        assert import_events(store, file, name="incidents") == ImportSummary(15_098, 15_098, 0)
    with gzip.open(INCIDENTS) as lines:
        for event, source in zip(store.read_all(), lines, strict=True):
            record = msgspec.json.decode(source)
            assert event.payload == record["payload"]
            assert event.recorded_at == datetime.fromisoformat(record["recorded_at"])
            assert (event.stream_id, event.event_id, event.name) == (
                record["stream_id"],
                record["event_id"],
                record["event_name"],
            )


def test_lines_may_be_spaced_and_empty_ones_passed_over(store: mainstem.Store) -> None:
    spaced = (
        line()
        .replace(b":", b" : ")
        .replace(b'"2026-01-01T00 : 00 : 00Z"', b'"2026-01-01T00:00:00Z"')
    )
    assert import_bytes(store, b"\n" + spaced + b"\n  \n" + line(1).rstrip()).written == 2
    assert [event.data for event in store.read("a")] == ['{"n":0}', '{"n":1}']


def test_commits_can_be_told_by_a_field_of_the_payload(store: mainstem.Store) -> None:
    data = b"".join(
        line(0, stream, payload={"change": {"id": change}})
        for stream, change in (("a", 1), ("b", 1), ("c", "x"))
    )
    import_bytes(store, data, commit_of=commit_by("payload.change.id"))
    assert [event.commit_id for event in store.read_all()] == ["1", "1", "x"]


def test_a_commit_with_a_bad_line_is_not_written_in_part(store: mainstem.Store) -> None:
    data = line(0, commit_id="good") + line(1, commit_id="bad") + line(3, commit_id="bad")
    summary = ImportSummary()
    with pytest.raises(ImportConflict, match=r"test\.jsonl, line 3: .* event 2 is due"):
        import_bytes(store, data, summary=summary)
    assert [event.commit_id for event in store.read_all()] == ["good"]
    assert summary == ImportSummary(1, 1, 0)


def test_all_before_an_event_that_is_refused_is_written_and_counted(store: mainstem.Store) -> None:
    data = b"".join(map(line, range(700))) + line(701) + line(0, "b")
    import_bytes(store, b"".join(map(line, range(100))))
    for written in (600, 0):
        summary = ImportSummary()
        with pytest.raises(ImportConflict, match=r"test\.jsonl, line 701: .* event 700 is due"):
            import_bytes(store, data, summary=summary)
        assert summary == ImportSummary(700, written, 700 - written)
    assert store.head() == 700


def test_an_event_that_comes_twice_and_differs_is_told_by_its_second_line(
    store: mainstem.Store,
) -> None:
    data = line(0) + line(0, event_name="Other", commit_id="b") + line(1)
    with pytest.raises(ImportConflict, match=r"line 2: .* another name"):
        import_bytes(store, data)
    assert store.head() == 1


def test_a_commit_that_no_store_takes_is_refused_before_it_fills_the_memory() -> None:
    limits = Limits(event_bytes=1000, commit_events=3, commit_streams=3)

    def endless() -> Iterator[tuple[int, ImportedEvent]]:
        for number in itertools.count():
            yield number + 1, decode_line(line(number, commit_id="big" if number else "small"))

    chunks = _chunks(endless(), limits, "test.jsonl")
    assert [number for number, _ in next(chunks)] == [1]
    with pytest.raises(InvalidLine, match=r"line 2 .* 'big' begins here and has over 3 events"):
        next(chunks)


def test_large_events_make_small_chunks() -> None:
    limits = Limits(event_bytes=CHUNK_SIZE, commit_events=100, commit_streams=100)
    large = decode_line(line(payload="x" * (CHUNK_SIZE // 2), commit_id="a"))
    events = [(number, large._replace(commit_id=str(number))) for number in range(5)]
    assert [len(chunk) for chunk in _chunks(events, limits, "")] == [2, 2, 1]


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (b"{\n", "truncated"),
        (b"[]\n", "Expected `object`"),
        (line(stream_id=""), "it is empty"),
        (line(stream_id="x" * 1025), "1,025 bytes"),
        (line(event_name=""), "1 to 255 bytes"),
        (line(event_id=-1), "event_id"),
        (line(event_id="0"), "event_id"),
        (line(recorded_at="2026-01-01T00:00:00"), "timezone"),
        (line(recorded_at="yesterday"), "recorded_at"),
        (line(payload=...), "either payload or payload_base64"),
        (line(payload_base64="gQ=="), "either payload or payload_base64"),
        (line(payload=..., payload_base64="?"), "base64|Non-base64"),
        (line(metadata=[1]), "metadata"),
        (line(commit_id=""), "commit id"),
        (line(recorded_at="0001-01-01T00:00:00+01:00"), "years 1 to 9999"),
        (line(payload=msgspec.Raw(b"1e999")), "out of range"),
        # Which limit is met first depends on the Python: its own, or ours.
        (line(payload=msgspec.Raw(b"[" * 5000 + b"]" * 5000)), "recursion|Maximum|too deeply"),
        (line(metadata={"a": msgspec.Raw(b"1e999")}), "out of range"),
        (line(commit_id="x" * 129), "commit id"),
        (line(stream_id=...), "stream_id"),
        (b'{"stream_id": "\xff"}\n', "utf-8|UTF-8|codec"),
    ],
)
def test_a_line_that_is_no_event_is_an_error_with_its_number(
    store: mainstem.Store, bad: bytes, problem: str
) -> None:
    for target in (store, None):
        with pytest.raises(InvalidLine, match=problem) as caught:
            import_bytes(target, line() + line(1) + bad)
        assert (caught.value.file, caught.value.line) == ("test.jsonl", 3)
    assert store.head() >= 1  # the bad line may be of the second one's commit


@pytest.mark.parametrize(
    "fields",
    [
        {"event_name": "Other"},
        {"payload": {"n": 1}},
        {"metadata": {"m": 1}},
        {"recorded_at": "2026-01-01T00:00:01Z"},
        {"commit_id": "other"},
    ],
)
def test_an_event_that_differs_from_the_stores_is_a_conflict(
    store: mainstem.Store, fields: dict[str, Any]
) -> None:
    import_bytes(store, line())
    with pytest.raises(ImportConflict, match="two different histories") as caught:
        import_bytes(store, line(**fields))
    assert (caught.value.stream_id, caught.value.event_id) == ("a", 0)
    assert store.head() == 1


DIFFERENT = [
    (b"true", b"1"),
    (b"1", b"1.0"),
    (b"false", b"0"),
    (b"0.0", b"-0.0"),
    (b"0", b"0.0"),
    (b"null", b"false"),
    (b'"1"', b"1"),
    (b"[true]", b"[1]"),
    (b'{"a":[{"b":1}]}', b'{"a":[{"b":1.0}]}'),
    (b"0.1", b"0.10000000000000000001"),
    (b"12345678901234567890", b"12345678901234567891"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=repr)
@pytest.mark.parametrize("where", ["payload", "metadata"])
def test_values_of_other_types_are_a_conflict_though_python_calls_them_equal(
    one: bytes, other: bytes, where: str
) -> None:
    first, second = (line(**{where: {"it": msgspec.Raw(value)}}) for value in (one, other))
    for before, after in ((first, second), (second, first)):
        with mainstem.connect(MEMORY) as store:
            import_bytes(store, before)
            assert import_bytes(store, before).already == 1
            with pytest.raises(ImportConflict, match=f"another {where}"):
                import_bytes(store, after)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": 1, "b": 2}', b'{"b":2,"a":1}'),
        (b'"\\u00e9"', '"é"'.encode()),
        (b"1.50", b"1.5"),
        (b"1e2", b"100.0"),
        (b"12345678901234567890.0", b"12345678901234567890.00"),
    ],
    ids=repr,
)
def test_the_same_json_written_otherwise_is_no_conflict(
    store: mainstem.Store, one: bytes, other: bytes
) -> None:
    import_bytes(store, line(payload=msgspec.Raw(one)))
    assert import_bytes(store, line(payload=msgspec.Raw(other))).already == 1


def test_a_dry_run_writes_nothing(store: mainstem.Store) -> None:
    assert import_bytes(None, line() + line(1)) == ImportSummary(2, 0, 0)


def test_a_dry_run_finds_holes() -> None:
    # A stream may go on from what a store has, and an event may come again.
    assert import_bytes(None, line(7) + line(0, "b") + line(7) + line(8)).lines == 4
    with pytest.raises(ImportConflict, match="line 3: event 8 of the stream is missing"):
        import_bytes(None, line(7) + line(0, "b") + line(9))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_file_that_is_cut_off_is_an_error_behind_its_whole_lines(
    store: mainstem.Store, compression: Compression
) -> None:
    whole = b"".join(map(line, range(3000)))
    packed = compress(whole, compression) + compress(line(3000), compression)
    with pytest.raises(InvalidLine, match="cut off"):
        import_bytes(store, packed[:-5])
    assert 2000 <= store.head() <= 3000
    assert import_bytes(store, packed).lines == 3001
    assert store.head() == 3001


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_file_may_come_in_any_portions(store: mainstem.Store, compression: Compression) -> None:
    whole = b"".join(map(line, range(50)))
    pieces = compress(whole[:1000], compression) + compress(whole[1000:], compression)
    assert import_events(store, Dripping(pieces), name="pipe").written == 50


class Dripping(io.BytesIO):
    """A pipe that has one byte at a time."""

    def read1(self, size: int | None = -1) -> bytes:
        return super().read(1)


def test_zstd_frames_without_content_are_passed_over(store: mainstem.Store) -> None:
    empty = b"\x50\x2a\x4d\x18\x04\x00\x00\x00size"
    assert import_bytes(store, empty + compress(line(), "zstd") + empty).written == 1


def test_a_killed_import_is_finished_by_another(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    with mainstem.connect(url) as store:
        for threshold in (1, 4_000, 9_000):
            process = mainstem_process("--url", url, "import", str(INCIDENTS))
            kill_when(process, lambda least=threshold: store.head() >= least)
        with INCIDENTS.open("rb") as file:
            summary = import_events(store, file, name="incidents")
        assert summary.already >= 9_000
        assert summary.written + summary.already == store.head() == 15_098
        with mainstem.connect(MEMORY) as whole, INCIDENTS.open("rb") as file:
            import_events(whole, file, name="incidents")
            assert list(store.read_all()) == list(whole.read_all())
