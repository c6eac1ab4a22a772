"""Files that are made to harm: memory, depth, numbers and lengths have bounds, whatever a file stands for."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import mainstem
from jsonlines_help import line
from mainstem import EncodeError, InvalidLine, NewEvent
from mainstem.port import Limits
from mainstem.transfer import ImportSummary, import_events
from mainstem.transfer.compression import Compression, compress
from mainstem.transfer.contents import LONGEST_LINE, lines
from mainstem.transfer.importing import CHUNK_SIZE, _chunks
from mainstem.transfer.jsonlines import decode_line
from transfer_help import COMPRESSIONS, MEMORY, exported

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKED: list[Compression] = ["gzip", "zstd"]


def import_bytes(store: mainstem.Store | None, data: bytes) -> ImportSummary:
    return import_events(store, io.BytesIO(data), name="test.jsonl")


def some_lines(count: int) -> bytes:
    return b"".join(map(line, range(count)))


@pytest.fixture
def store() -> Iterator[mainstem.Store]:
    with mainstem.connect(MEMORY) as store:
        yield store


MEASURED = """
import resource, sys
import mainstem
from mainstem.transfer import import_events
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
told = "imported"
with mainstem.connect("sqlite://:memory:") as store, open(sys.argv[1], "rb") as file:
    try:
        import_events(store, file, name="bomb")
    except mainstem.InvalidLine as error:
        told = str(error)
print(told)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def import_measured(file: Path) -> tuple[str, int]:
    """What an import in a process of its own said, and the MiB that it took at most."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30)),
    )
    told, most = done.stdout.splitlines()
    return told, int(most)


def write_bomb(file: Path, compression: Compression, part: bytes, times: int) -> None:
    """A file that holds the part very often, compressed in one piece."""
    compressor: Any = (
        zlib.compressobj(9, wbits=31) if compression == "gzip" else zstd.ZstdCompressor(level=3)
    )
    with file.open("wb") as target:
        for _ in range(times):
            target.write(compressor.compress(part))
        target.write(compressor.flush())


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize(
    ("part", "told"),
    [
        (b"\n", "imported"),
        (b" ", "imported"),
        (b"[", "over 33,554,432 bytes"),
        (b"\0", "over 33,554,432 bytes"),
        (b'{"a":', "over 33,554,432 bytes"),
    ],
)
def test_what_a_small_file_stands_for_does_not_fill_the_memory(
    tmp_path: Path, compression: Compression, part: bytes, told: str
) -> None:
    bomb = tmp_path / "bomb"
    write_bomb(bomb, compression, part * (2**22 // len(part)), 64)
    assert bomb.stat().st_size < 2**20
    said, most = import_measured(bomb)
    assert told in said
    assert most < 160


def test_a_window_that_takes_too_much_memory_is_told(store: mainstem.Store) -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 28})
    data = compressor.compress(b"\n" * 2**20) + compressor.flush(zstd.ZstdCompressor.FLUSH_BLOCK)
    with pytest.raises(InvalidLine, match="window of over 128 MiB"):
        import_bytes(store, data)


def test_a_commit_without_end_does_not_fill_the_memory() -> None:
    limits = Limits(event_bytes=2**24, commit_events=100_000, commit_streams=100, commit_bytes=5000)
    seen = 0

    def endless() -> Iterator[tuple[int, Any]]:
        nonlocal seen
        event = decode_line(line(payload="x" * 1000, commit_id="big"))
        while True:
            seen += 1
            yield seen, event

    with pytest.raises(InvalidLine, match="'big' begins here and has over 5,000 bytes"):
        next(_chunks(endless(), limits, "test.jsonl"))
    assert seen < 10


def test_metadata_counts_for_how_much_is_written_at_once() -> None:
    large = decode_line(line(metadata={"m": "x" * (CHUNK_SIZE // 2)}))
    events = [(number, large._replace(commit_id=str(number))) for number in range(5)]
    limits = Limits(event_bytes=CHUNK_SIZE, commit_events=100, commit_streams=100)
    assert [len(chunk) for chunk in _chunks(events, limits, "")] == [2, 2, 1]


def test_a_line_as_long_as_any_event_can_be_is_read(store: mainstem.Store) -> None:
    longest = store.limits.event_bytes - len("Tested")
    data = msgspec.json.encode("x" * (longest - 2))
    bytes_line = line(payload=..., payload_base64=b"y" * longest)
    for each in (line(payload=msgspec.Raw(data)), bytes_line):
        assert len(each) <= LONGEST_LINE
        with mainstem.connect(MEMORY) as own:
            assert import_bytes(own, each).written == 1
            assert exported(own).startswith(b'{"stream_id"')


def test_a_line_that_is_too_long_is_told_by_its_number_behind_what_was_good(
    store: mainstem.Store,
) -> None:
    data = some_lines(3) + b"x" * (LONGEST_LINE + 300_000) + b"\n" + line(3)
    with pytest.raises(InvalidLine, match="over 33,554,432 bytes") as caught:
        import_bytes(store, data)
    assert caught.value.line == 4
    assert store.version("a") == 2  # the third event's commit may go on in the long line


@pytest.mark.parametrize("levels", [100, 101, 150, 1_000, 10_000, 1_000_000])
def test_nesting_has_one_limit_for_appending_and_importing(
    store: mainstem.Store, levels: int
) -> None:
    nested = b"[" * levels + b"]" * levels
    fine = levels <= 100
    for where in ("payload", "metadata"):
        value = nested if where == "payload" else b'{"a":' + nested[1:-1] + b"}"
        data = line(0, where, **{where: msgspec.Raw(value)})
        if fine:
            assert import_bytes(store, data).written == 1
        else:
            with pytest.raises(InvalidLine, match=r"nested too deeply|recursion"):
                import_bytes(store, data)
    payload: Any = msgspec.Raw(nested)
    if fine:
        store.append(
            "own", [NewEvent("Tested", payload, {"a": msgspec.Raw(nested[1:-1])})], expected=0
        )
        assert import_bytes(store, exported(store)).already == 3
    else:
        with pytest.raises(EncodeError, match="nested too deeply"):
            store.append("own", [NewEvent("Tested", payload)], expected=0)
        with pytest.raises(EncodeError, match="nested too deeply"):
            store.append("own", [NewEvent("Tested", 1, {"a": msgspec.Raw(nested)})], expected=0)


def test_brackets_in_texts_are_no_nesting(store: mainstem.Store) -> None:
    payload = ["[" * 500, '\\"[{' * 200, {"]" * 300: "\\"}, [[]] * 300]
    store.append("a", [NewEvent("Tested", payload)], expected=0)
    assert import_bytes(store, exported(store)).already == 1


@pytest.mark.parametrize(
    "number", [b"9" * 5000, b"-" + b"1" * 10_000, b"1e400", b"1e99999999999", b"0." + b"1" * 5000]
)
@pytest.mark.parametrize("where", ["payload", "metadata", "event_id", "recorded_at", "commit_id"])
def test_numbers_that_python_can_not_hold_are_no_crash(
    store: mainstem.Store, number: bytes, where: str
) -> None:
    value: Any = msgspec.Raw(number)
    data = line(**{where: {"a": value} if where == "metadata" else value})
    try:
        import_bytes(store, data)
    except InvalidLine:
        assert store.head() == 0
    else:
        assert number.startswith(b"0.")
        assert store.read("a")[0].payload is not None
        assert import_bytes(store, data).already == 1


def test_many_keys_are_no_matter(store: mainstem.Store) -> None:
    many = {f"k{number}": number for number in range(200_000)}
    assert import_bytes(store, line(payload=many)).written == 1
    assert store.read("a")[0].payload == many


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_lines_come_whole_whatever_the_portions(compression: Compression) -> None:
    whole = b"".join(line(number, payload="x" * (number * 997 % 5000)) for number in range(300))
    assert [text + b"\n" for _, text in lines(io.BytesIO(compress(whole, compression)))] == (
        whole.splitlines(keepends=True)
    )
