"""Import and export of files as they occur: padded, put together, of other systems, hostile, from pipes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import mainstem
from jsonlines_help import line
from mainstem import InvalidInput, InvalidLine, NewEvent
from mainstem.cli.app import run
from mainstem.transfer import ImportSummary, export_events, import_events
from mainstem.transfer.compression import Compression, by_name, compress
from mainstem.transfer.importing import CHUNK
from transfer_help import COMPRESSIONS, MEMORY, exported

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKED: list[Compression] = ["gzip", "zstd"]
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00size"
"""A zstd frame without content."""


def import_bytes(store: mainstem.Store | None, data: bytes) -> ImportSummary:
    return import_events(store, io.BytesIO(data), name="test.jsonl")


def some_lines(count: int, stream_id: str = "a") -> bytes:
    return b"".join(line(number, stream_id) for number in range(count))


@pytest.fixture
def store() -> Iterator[mainstem.Store]:
    with mainstem.connect(MEMORY) as store:
        yield store


# Put together, and padded


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize("zeros", [1, 3, 512, 200_000])
def test_zeros_behind_a_compressed_file_are_passed_over(
    store: mainstem.Store, compression: Compression, zeros: int
) -> None:
    data = compress(some_lines(5), compression) + bytes(zeros)
    assert import_bytes(store, data).written == 5


def test_pieces_of_both_kinds_may_follow_each_other(store: mainstem.Store) -> None:
    pieces = [
        compress(line(0), "gzip"),
        bytes(600),
        compress(line(1), "zstd"),
        SKIPPED,
        compress(b"", "gzip"),
        compress(line(2), "zstd"),
        compress(line(3) + line(4), "gzip"),
    ]
    assert import_bytes(store, b"".join(pieces)).written == 5


def test_a_line_may_begin_in_one_piece_and_end_in_the_next(store: mainstem.Store) -> None:
    whole = some_lines(3)
    data = b"".join(compress(bytes([byte]), "gzip") for byte in whole)
    assert import_bytes(store, data).written == 3


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize("rubbish", [b"x", b"garbage" * 100, b"\0\0\0garbage", line(7)])
def test_other_bytes_behind_a_compressed_file_are_told(
    store: mainstem.Store, compression: Compression, rubbish: bytes
) -> None:
    data = compress(some_lines(5), compression) + rubbish
    with pytest.raises(InvalidLine, match=r"cut off or damaged.*neither gzip nor zstd"):
        import_bytes(store, data)
    assert store.version("a") == 4  # the last commit may go on in what can't be read


# Of other systems


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    "text",
    [
        BOM + some_lines(3),
        line(0) + BOM + line(1) + line(2),
        some_lines(3).replace(b"\n", b"\r\n"),
        BOM + some_lines(3).replace(b"\n", b"\r\n") + b"\r\n",
        some_lines(3).rstrip(b"\n"),
        some_lines(3).rstrip(b"\n") + b"\r",
        some_lines(3) + b"\n\n  \n\t\r\n",
        b"\n\n" + some_lines(3) + b"   ",
        BOM + b"\n" + some_lines(3),
        some_lines(3) + BOM,
    ],
    ids=repr,
)
def test_line_ends_blank_lines_and_byte_order_marks_are_no_matter(
    store: mainstem.Store, text: bytes, compression: Compression
) -> None:
    assert import_bytes(store, compress(text, compression)).written == 3
    assert [event.payload for event in store.read("a")] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_lines_are_counted_as_an_editor_counts_them(store: mainstem.Store) -> None:
    blank = b"\n" * 300_000
    with pytest.raises(InvalidLine) as caught:
        import_bytes(store, BOM + b"\r\n" + line(0) + blank + b" \n" + line(1) + b"{\n")
    assert caught.value.line == 1 + 1 + 300_000 + 1 + 1 + 1


@pytest.mark.parametrize(
    "more",
    [
        {"position": None},
        {"position": "17"},
        {"position": 17.0},
        {"position": -1},
        {"position": {"commit": 5, "prepare": [5]}},
        {"position": msgspec.Raw(b"9" * 5000)},
        {"partition": None},
        {"partition": "0"},
        {"partition": []},
        {"commit_id": None},
        {"metadata": None},
        {"of another program": [1]},
    ],
)
def test_what_is_not_looked_at_may_be_anything(store: mainstem.Store, more: dict[str, Any]) -> None:
    assert import_bytes(store, line(**more)).written == 1


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (bz2.compress(line()), "bzip2"),
        (lzma.compress(line()), "xz"),
        (b"PK\x03\x04" + bytes(30), "zip"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(30), "7z"),
        (line().decode().encode("utf-16"), "UTF-16"),
        (b"SQLite format 3\x00" + bytes(100), "SQLite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_another_format_is_told_by_its_name(
    store: mainstem.Store, data: bytes, kind: str
) -> None:
    with pytest.raises(InvalidLine, match=f"the file is .*{kind}"):
        import_bytes(store, data)


# Of nothing


@pytest.mark.parametrize("compression", PACKED)
def test_an_export_of_no_events_is_a_whole_file(
    store: mainstem.Store, compression: Compression
) -> None:
    whole = exported(store, compression)
    decompressor = (
        zlib.decompressobj(wbits=31) if compression == "gzip" else zstd.ZstdDecompressor()
    )
    assert decompressor.decompress(whole) == b""
    assert decompressor.eof
    assert import_bytes(store, whole) == ImportSummary()
    # And can be gone on with, as if it had been written in one go.
    file = io.BytesIO(whole)
    export_events(store, file, compression=compression, resume=True)
    assert file.getvalue() == whole
    store.append("a", [NewEvent("Tested", {})], expected=0)
    export_events(store, file, compression=compression, resume=True)
    assert file.getvalue() == exported(store, compression)


def test_a_plain_export_of_no_events_is_an_empty_file(store: mainstem.Store) -> None:
    assert exported(store) == b""
    assert import_bytes(store, b"") == ImportSummary()


# Endings


@pytest.mark.parametrize(
    ("name", "compression"),
    [
        ("a.jsonl", "none"),
        ("a.ndjson", "none"),
        ("a.JSON", "none"),
        ("a", "none"),
        ("a.jsonl.gz", "gzip"),
        ("a.jsonl.GZ", "gzip"),
        ("a.gzip", "gzip"),
        ("a.jsonl.zst", "zstd"),
        ("a.jsonl.Zst", "zstd"),
        ("a.zstd", "zstd"),
    ],
)
def test_a_known_ending_tells_how_to_compress(name: str, compression: Compression) -> None:
    assert by_name(Path(name)) == compression


@pytest.mark.parametrize(
    "ending", ["bz2", "xz", "zip", "7z", "lz4", "br", "Z", "tgz", "parquet", "gz.tmp", "gz "]
)
def test_an_ending_that_is_not_known_is_refused_before_anything_is_written(
    tmp_path: Path, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    with mainstem.connect(url) as store:
        store.append("a", [NewEvent("Tested", {})], expected=0)
    target = tmp_path / f"out.jsonl.{ending}"
    with pytest.raises(InvalidInput, match=r"\.jsonl\.zst"):
        by_name(target)
    assert run(["--url", url, "export", str(target)]) == 2
    assert "--compression" in capfd.readouterr().err
    assert not target.exists()
    assert run(["--url", url, "export", str(target), "--compression", "gzip"]) == 0
    assert gzip.decompress(target.read_bytes()).count(b"\n") == 1


def test_pieces_without_lines_are_no_hindrance_to_going_on(store: mainstem.Store) -> None:
    store.append("a", [NewEvent("Tested", {})], expected=0)
    data = exported(store, "zstd") + SKIPPED + compress(b"", "zstd")
    file = io.BytesIO(data)
    assert export_events(store, file, compression="zstd", resume=True).already == 1
    assert file.getvalue() == data


def test_files_that_are_open_as_text_are_refused(store: mainstem.Store) -> None:
    with pytest.raises(InvalidInput, match="Open it as bytes"):
        import_events(store, io.StringIO("{}"), name="text")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="Open it as bytes"):
        export_events(store, io.StringIO())  # type: ignore[arg-type]


# Pipes


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_pipe_is_imported_to_its_end(tmp_path: Path, compression: Compression) -> None:
    """As ``mainstem import <(zcat x.gz)`` does; more events than are written at once."""
    url, pipe = f"sqlite:///{tmp_path}/shop.db", tmp_path / "pipe"
    os.mkfifo(pipe)
    data = compress(some_lines(2 * CHUNK + 10), compression)
    writer = threading.Thread(target=lambda: pipe.write_bytes(data))
    writer.start()
    assert run(["--url", url, "import", str(pipe)]) == 0
    writer.join()
    with mainstem.connect(url) as store:
        assert store.version("a") == 2 * CHUNK + 10


def test_standard_input_may_be_a_pipe_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(some_lines(CHUNK + 10))
    command = [sys.executable, "-m", "mainstem", "--url", f"sqlite:///{tmp_path}/shop.db"]
    with file.open("rb") as redirected:
        subprocess.run([*command, "import", "-"], stdin=redirected, check=True, timeout=60)
    with mainstem.connect(f"sqlite:///{tmp_path}/shop.db") as store:
        assert store.version("a") == CHUNK + 10
    done = subprocess.run(
        [*command, "import", "-"], input=some_lines(CHUNK + 20), check=True, timeout=60
    )
    assert done.returncode == 0
    with mainstem.connect(f"sqlite:///{tmp_path}/shop.db") as store:
        assert store.version("a") == CHUNK + 20


def test_nothing_is_imported_from_standard_input_that_is_closed(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m mainstem --url sqlite:///x.db import - <&-"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0 events written")


def test_an_export_goes_into_a_pipe_unasked_and_can_not_be_resumed_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url, pipe = f"sqlite:///{tmp_path}/shop.db", tmp_path / "pipe"
    with mainstem.connect(url) as store:
        store.append("a", [NewEvent("Tested", {"n": 1})], expected=0)
    os.mkfifo(pipe)
    assert run(["--url", url, "export", str(pipe), "--resume"]) == 2
    assert "can't be gone on with" in capfd.readouterr().err
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    assert run(["--url", url, "export", str(pipe)]) == 0
    reader.join()
    assert found[0].count(b"\n") == 1


def test_a_call_that_is_wrong_counts_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    assert run(["--url", url, "import", str(tmp_path / "nothing there")]) == 2
    assert capfd.readouterr().out == ""


def test_a_file_that_can_not_be_written_any_further_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    with mainstem.connect(url) as store:
        store.append("a", [NewEvent("Tested", "x" * 50_000)] * 10, expected=0)
    target = tmp_path / "out.jsonl"
    script = (
        "import resource, signal, sys; from mainstem.cli.app import run;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--url", url, "export", str(target)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert str(target) in done.stderr
    assert "--resume" in done.stderr
    assert run(["--url", url, "export", str(target), "--resume"]) == 0
    assert target.read_bytes().count(b"\n") == 10
