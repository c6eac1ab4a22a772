"""Export: resuming, filters, killing, and files that are not what they should be."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

import mainstem
from jsonlines_help import line
from mainstem import InvalidInput, NewEvent
from mainstem.cli.app import run
from mainstem.transfer import ExportCounts, export_events
from mainstem.transfer.compression import Compression, compress
from mainstem.transfer.contents import whole_pieces
from mainstem.transfer.exporting import PIECE, PIECE_BYTES, Wanted
from process_help import kill_when, mainstem_process
from transfer_help import COMPRESSIONS, MEMORY, exported, fill_shop


@pytest.fixture
def store() -> Iterator[mainstem.Store]:
    with mainstem.connect(MEMORY) as store:
        yield store


@pytest.fixture
def shop(store: mainstem.Store) -> mainstem.Store:
    fill_shop(store)
    return store


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


@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (b"my notes\n", "none"),
        (b"my", "none"),
        (b'{"stream_id":"a"}\n', "none"),
        (line(), "none"),
        (line(position=0, partition=0), "none"),
        (line(position=9, partition=0), "none"),
        (line(position=0, partition=1), "none"),
        (compress(line(), "gzip"), "none"),
        (line(), "gzip"),
        (compress(line(), "gzip"), "zstd"),
        (compress(b"my notes\n", "gzip"), "gzip"),
        (compress(b"my notes\n", "zstd"), "zstd"),
        (compress(b"my notes\n" * 100, "gzip")[:-3], "gzip"),
        (compress(line(position=0, partition=0), "gzip"), "gzip"),
    ],
)
def test_a_file_that_is_no_export_of_this_store_is_not_resumed(
    shop: mainstem.Store, content: bytes, compression: Compression
) -> None:
    file = io.BytesIO(content)
    with pytest.raises(InvalidInput, match="not an export that can be resumed"):
        export_events(shop, file, compression=compression, resume=True)
    assert file.getvalue() == content


@pytest.mark.parametrize(
    ("wanted", "positions"),
    [
        ({"from_position": 2}, [2, 3, 4]),
        ({"from_time": datetime(2000, 1, 1, tzinfo=UTC)}, [0, 1, 2, 3, 4]),
        ({"from_position": 1, "to_position": 4}, [1, 2, 3]),
        ({"max_count": 3}, [0, 1, 2]),
        ({"names": "OrderPaid", "max_count": 2}, [2, 3]),
        ({"category": "order", "partition": 0}, [0, 1, 2, 3]),
        ({"prefix": "order-2"}, [1, 2]),
    ],
)
def test_an_export_takes_the_filters_of_a_replay(
    shop: mainstem.Store, wanted: Wanted, positions: list[int]
) -> None:
    file = io.BytesIO()
    counts = export_events(shop, file, **wanted)
    whole = file.getvalue()
    assert [msgspec.json.decode(each)["position"] for each in whole.splitlines()] == positions
    assert counts == ExportCounts(len(positions), 0)
    for cut in range(0, len(whole), 29):
        file = io.BytesIO(whole[:cut])
        assert sum(export_events(shop, file, resume=True, **wanted)) == len(positions)
        assert file.getvalue() == whole


def test_a_piece_of_large_events_is_cut_by_its_size(store: mainstem.Store) -> None:
    events = [NewEvent("Tested", "x" * (PIECE_BYTES // 2))] * 5
    store.append("a", events, expected=0)
    whole = exported(store, "gzip")
    pieces = list(whole_pieces(io.BytesIO(whole), "gzip"))
    assert [piece.lines for piece in pieces] == [2, 2, 1]
    assert msgspec.json.decode(pieces[1].last_line)["event_id"] == 3
    file = io.BytesIO(whole[: pieces[1].end + 10])
    assert export_events(store, file, compression="gzip", resume=True) == ExportCounts(1, 4)
    assert file.getvalue() == whole


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
