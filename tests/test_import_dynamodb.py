"""Real logs are imported into DynamoDB: their published results come out of the replay, and a commit is
one transaction where DynamoDB allows.
"""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest

import dynamodb_local
import mainstem
from dynamodb_help import one
from dynamodb_stores import new_url, open_store, parts_of
from mainstem import Store
from mainstem.demo import data as demo_data
from mainstem.demo.incidents import ServiceDesk
from mainstem.dynamodb import repair_log
from mainstem.dynamodb.client.requests import Page, Put, Query, Value
from mainstem.dynamodb.items.block_items import columns_of
from mainstem.dynamodb.items.layout import log_hash
from mainstem.dynamodb.items.packing import Packed
from mainstem.transfer import ImportSummary, export_events, import_events
from mainstem.transfer.jsonlines import commit_by
from mainstem.verbs.importing import own_commit_id

DATA = Path(__file__).parent.parent / "benchmarks" / "data"
INCIDENTS = Path(demo_data.__file__).parent / "incidents-small.jsonl.gz"
MOST_STREAMS = 49
"""One commit's that surely fit into one transaction, with one partition."""


def batches(store: Store) -> Iterator[list[Packed]]:
    """What each item of the log holds, in order."""
    adapter, driver = parts_of(store)
    position = 0
    while True:
        request = Query(adapter.layout.log, log_hash(0, 0), first=position)
        page: Page = driver.run(one(request))
        for batch in page.items:
            events = columns_of(batch).rows()
            position += len(events)
            yield events
        if page.last is None:
            return


@pytest.mark.timeout(900)
def test_thirteen_years_of_kafkas_repository(dynamodb: dynamodb_local.Server) -> None:
    url = new_url(dynamodb)
    with (DATA / "kafka-files.jsonl.gz").open("rb") as file, open_store(url) as store:
        summary = import_events(
            store, file, name="kafka-files", commit_of=commit_by("payload.commit")
        )
        assert summary == ImportSummary(98_257, 98_257, 0)
    with open_store(url) as store:
        last_name: dict[str, str] = {}
        length: Counter[str] = Counter()
        for event in store.read_all():
            assert event.event_id == length[event.stream_id]
            length[event.stream_id] += 1
            last_name[event.stream_id] = event.name
        live = [name for name in last_name.values() if name not in ("FileDeleted", "FileMovedAway")]
        assert (length.total(), len(length), len(live)) == (98_257, 10_061, 6_519)
        assert length.most_common(3) == [
            ("build.gradle", 689),
            ("core/src/main/scala/kafka/server/KafkaApis.scala", 567),
            ("core/src/main/scala/kafka/server/KafkaConfig.scala", 429),
        ]
        assert sum(count == 1 for count in length.values()) == 1_353
        check_commits(store)


def check_commits(store: Store) -> None:
    """Each stands together in the log; those that fit into a transaction are in one item of it."""
    in_items: Counter[str] = Counter()
    streams: dict[str, set[str]] = {}
    ended: set[str] = set()
    current = ""
    for events in batches(store):
        in_items.update({event.commit_id for event in events})
        for event in events:
            if event.commit_id != current:
                ended.add(current)
                current = event.commit_id
                assert current not in ended, f"commit {current} lies apart"
            streams.setdefault(current, set()).add(event.stream_id)
    assert len(streams) == 13_485
    for commit_id, touched in streams.items():
        assert in_items[commit_id] == 1 or len(touched) > MOST_STREAMS
    assert max(in_items.values()) > 1100 // 50


def test_to_import_again_changes_nothing(dynamodb: dynamodb_local.Server) -> None:
    with gzip.open(DATA / "kafka-files.jsonl.gz") as lines:
        # From where a commit to 1,100 files begins.
        some = b"".join(islice(lines, 3_000))
    with open_store(new_url(dynamodb, partitions=4)) as store:
        for already in (0, 3_000):
            summary = import_events(
                store, io.BytesIO(some), name="", commit_of=commit_by("payload.commit")
            )
            assert summary == ImportSummary(3_000, 3_000 - already, already)
        assert sum(store.head(partition) for partition in range(4)) == 3_000


def test_a_week_of_incidents(dynamodb: dynamodb_local.Server) -> None:
    with INCIDENTS.open("rb") as file, open_store(new_url(dynamodb, partitions=4)) as store:
        assert import_events(store, file, name="incidents") == ImportSummary(15_098, 15_098, 0)
        desk = ServiceDesk()
        for event in store.read_all():
            desk.apply(event.stream_id, event.name, event.payload)
        assert desk.results() == demo_data.PUBLISHED


def test_what_other_programs_have_written_is_exported_and_can_be_imported(
    dynamodb: dynamodb_local.Server,
) -> None:
    url = new_url(dynamodb)
    laid_out = '{\n  "total": 42\r\n}'
    common: dict[str, Value] = {
        "EventId": 0,
        "EventName": "Noted",
        "RecordedAt": "2026-01-02T03:04:05+01:00",
    }
    items: list[dict[str, Value]] = [
        {"StreamId": "no-commit", "Payload": "{}", **common},
        {"StreamId": "payload", "Payload": laid_out, "CommitId": "c-1", **common},
        {"StreamId": "metadata", "Payload": "1", "Metadata": laid_out, **common},
        {"StreamId": "text", "Payload": "no\nJSON", "Metadata": "Ada", **common},
        {"StreamId": "deep", "Payload": "[" * 300 + "]" * 300, **common},
    ]
    with open_store(url) as store:
        adapter, driver = parts_of(store)
        for item in items:
            driver.run(one(Put(adapter.layout.events, item)))
        repair_log(url)
        file = io.BytesIO()
        count = export_events(store, file).written
        lines = file.getvalue().splitlines()
        assert len(lines) == count >= 3
        exported = {msgspec.json.decode(line)["stream_id"] for line in lines}
        assert exported >= {"no-commit", "payload", "metadata"}
        with mainstem.connect("sqlite://:memory:") as copy:
            for again in (False, True):
                file.seek(0)
                summary = import_events(copy, file, name="export")
                assert summary == ImportSummary(count, 0 if again else count, count if again else 0)
            assert copy.read("payload")[0].payload == {"total": 42}
            assert copy.read("metadata")[0].metadata == {"total": 42}
            assert copy.read("no-commit")[0].commit_id == own_commit_id("no-commit", 0)
        # And it is what the store itself has.
        file.seek(0)
        assert import_events(store, file, name="export") == ImportSummary(count, 0, count)
