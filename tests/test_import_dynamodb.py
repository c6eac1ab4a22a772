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
from typing import NamedTuple

import msgspec

import dynamodb_local
import mainstem
from dynamodb_help import one
from dynamodb_stores import new_url, open_store, parts_of
from mainstem import Store
from mainstem.demo import data as demo_data
from mainstem.demo.incidents import ServiceDesk
from mainstem.dynamodb import repair_log
from mainstem.dynamodb.client.items import Value
from mainstem.dynamodb.client.requests import Page, Put, Query
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


class Repository(NamedTuple):
    """What the log of a repository's files has to give."""

    events: int
    files: int
    live: int
    of_one_event: int
    busiest: list[tuple[str, int]]


WHOLE = Repository(
    98_257,
    10_061,
    6_519,
    1_353,
    [
        ("build.gradle", 689),
        ("core/src/main/scala/kafka/server/KafkaApis.scala", 567),
        ("core/src/main/scala/kafka/server/KafkaConfig.scala", 429),
    ],
)
"""As published with the data."""


def repository_in(store: Store) -> Repository:
    last_name: dict[str, str] = {}
    length: Counter[str] = Counter()
    for event in store.read_all():
        assert event.event_id == length[event.stream_id]
        length[event.stream_id] += 1
        last_name[event.stream_id] = event.name
    return Repository(
        length.total(),
        len(length),
        sum(name not in ("FileDeleted", "FileMovedAway") for name in last_name.values()),
        sum(count == 1 for count in length.values()),
        length.most_common(3),
    )


def kafka_lines(count: int | None = None) -> bytes:
    with gzip.open(DATA / "kafka-files.jsonl.gz") as lines:
        return b"".join(islice(lines, count))


def import_repository(store: Store, lines: bytes) -> ImportSummary:
    return import_events(
        store, io.BytesIO(lines), name="kafka-files", commit_of=commit_by("payload.commit")
    )


def test_thirteen_years_of_kafkas_repository() -> None:
    with mainstem.connect("sqlite://:memory:") as store:
        assert import_repository(store, kafka_lines()) == ImportSummary(98_257, 98_257, 0)
        assert repository_in(store) == WHOLE


def test_its_first_years_in_dynamodb(dynamodb: dynamodb_local.Server) -> None:
    """To the end of the commit that touches the most files. The rest would show nothing else."""
    lines, url = kafka_lines(21_785), new_url(dynamodb)
    with mainstem.connect("sqlite://:memory:") as embedded, open_store(url) as store:
        assert import_repository(store, lines) == ImportSummary(21_785, 21_785, 0)
        import_repository(embedded, lines)
        wanted = repository_in(embedded)
    with open_store(url) as store:
        assert repository_in(store) == wanted
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
    assert len(streams) == 2_700
    for commit_id, touched in streams.items():
        assert in_items[commit_id] == 1 or len(touched) > MOST_STREAMS
    assert max(in_items.values()) > 1100 // 50


def test_to_import_again_changes_nothing(dynamodb: dynamodb_local.Server) -> None:
    some = kafka_lines(3_000)
    with open_store(new_url(dynamodb, partitions=4)) as store:
        for already in (0, 3_000):
            summary = import_repository(store, some)
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
