"""Import and export: round trips, resuming, killing, and files that are not what they should be."""

from __future__ import annotations

import gzip
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainstem
from mainstem import Append, ImportConflict, InvalidInput, InvalidLine, NewEvent, RecordedEvent
from mainstem.cli.app import run
from mainstem.codec import JsonCodec
from mainstem.events import EncodedEvent
from mainstem.jsonlines import commit_by, decode_line, encode_line
from mainstem.transfer import ExportCounts, ImportSummary, export_events, import_events
from mainstem.transfer.compression import Compression, compress
from mainstem.transfer.exporting import PIECE

INCIDENTS = Path(mainstem.__file__).parent / "demo" / "incidents-small.jsonl.gz"
COMPRESSIONS: list[Compression] = ["none", "gzip", "zstd"]
MEMORY = "sqlite://:memory:"


def line(event_id: Any = 0, stream_id: Any = "a", **fields: Any) -> bytes:
    """A line as another program would write it."""
    record = {
        "stream_id": stream_id,
        "event_id": event_id,
        "event_name": "Tested",
        "recorded_at": "2026-01-01T00:00:00Z",
        "payload": {"n": event_id},
        **fields,
    }
    return msgspec.json.encode({k: v for k, v in record.items() if v is not ...}) + b"\n"


def import_bytes(store: mainstem.Store | None, data: bytes, **options: Any) -> ImportSummary:
    return import_events(store, io.BytesIO(data), name="test.jsonl", **options)


@pytest.fixture
def store() -> Iterator[mainstem.Store]:
    with mainstem.connect(MEMORY) as store:
        yield store


@pytest.fixture
def shop(store: mainstem.Store) -> mainstem.Store:
    """Commits over several streams, metadata, texts in other scripts."""
    store.append(
        "order-1", [NewEvent("OrderPlaced", {"é": [1, None, 0.5]}, {"by": "☃"})], expected=0
    )
    store.append_many(
        [
            Append("order-2", [NewEvent("OrderPlaced", "text"), NewEvent("OrderPaid", None)], 0),
            Append("order-1", [NewEvent("OrderPaid", 7)], 1),
        ],
        commit_id="both",
    )
    store.append("x/\n☃", [NewEvent("Odd", {"a": '"\\\n'})], expected=0)
    return store


def exported(store: mainstem.Store, compression: Compression = "none") -> bytes:
    file = io.BytesIO()
    export_events(store, file, compression=compression)
    return file.getvalue()


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


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_imported_export_replays_the_same(
    shop: mainstem.Store, compression: Compression
) -> None:
    with mainstem.connect(MEMORY) as copy:
        assert import_bytes(copy, exported(shop, compression)) == ImportSummary(5, 5, 0)
        assert list(copy.read_all()) == list(shop.read_all())


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


def test_lines_without_a_commit_id_get_the_same_one_each_time() -> None:
    first, again, other = decode_line(line()), decode_line(line()), decode_line(line(1))
    assert first.commit_id == again.commit_id
    assert first.commit_id != other.commit_id


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


def test_a_dry_run_writes_nothing(store: mainstem.Store) -> None:
    assert import_bytes(None, line() + line(1)) == ImportSummary(2, 0, 0)


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


def filled(store: mainstem.Store, count: int) -> None:
    events = [NewEvent("Tested", {"n": number}) for number in range(count)]
    store.append("a", events, expected=0)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_export_goes_on_wherever_it_was_cut(
    store: mainstem.Store, compression: Compression
) -> None:
    filled(store, PIECE + 10)
    whole = exported(store, compression)
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1, len(whole)):
        file = io.BytesIO(whole[:cut])
        counts = export_events(store, file, compression=compression, resume=True)
        assert file.getvalue() == whole
        assert sum(counts) == PIECE + 10


def test_an_export_takes_what_has_come_since(shop: mainstem.Store) -> None:
    file = io.BytesIO()
    export_events(shop, file, compression="zstd", category="order")
    shop.append("order-3", [NewEvent("OrderPlaced", {})], expected=0)
    shop.append("other-3", [NewEvent("OrderPlaced", {})], expected=0)
    counts = export_events(shop, file, compression="zstd", resume=True, category="order")
    assert counts == ExportCounts(written=1, already=4)


def test_a_file_that_is_no_export_is_not_resumed(shop: mainstem.Store) -> None:
    file = io.BytesIO(b"my notes\n")
    with pytest.raises(InvalidInput, match="not an export"):
        export_events(shop, file, resume=True)
    assert file.getvalue() == b"my notes\n"


def test_an_existing_file_is_not_overwritten_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAINSTEM_URL", f"sqlite:///{tmp_path}/shop.db")
    with mainstem.connect(os.environ["MAINSTEM_URL"]) as store:
        filled(store, 3)
    target = tmp_path / "out.jsonl"
    target.write_text("mine")
    assert run(["export", str(target)]) == 2
    assert target.read_text() == "mine"
    assert "--resume" in capfd.readouterr().err
    assert run(["export", str(target), "--force"]) == 0
    assert target.read_text().count("\n") == 3
    assert run(["import", str(target), "--json"]) == 0
    assert '"already":3' in capfd.readouterr().out


def mainstem_process(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mainstem", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_when(process: subprocess.Popen[bytes], reached: Any) -> None:
    """SIGKILL as soon as ``reached()``; fails where the process ends before."""
    while not reached():
        assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


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


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_a_killed_export_is_finished_by_another(tmp_path: Path, ending: str) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    with mainstem.connect(url) as store:
        for number in range(6):
            events = [NewEvent("Tested", {"n": n}) for n in range(PIECE)]
            store.append(f"a-{number}", events, expected=0)
    broken, whole = tmp_path / f"broken.{ending}", tmp_path / f"whole.{ending}"
    process = mainstem_process("--url", url, "export", str(broken))
    kill_when(process, lambda: broken.exists() and broken.stat().st_size > 0)
    assert run(["--url", url, "export", str(broken), "--resume"]) == 0
    assert run(["--url", url, "export", str(whole)]) == 0
    assert broken.read_bytes() == whole.read_bytes()
