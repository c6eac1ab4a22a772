"""The invariants, from what the tables hold in the end and from what everybody was told."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from mainstem.dynamodb.client.items import Item, Key, Table
from mainstem.dynamodb.items.block_items import columns_of, head_after, is_emptied, is_sequenced
from mainstem.dynamodb.items.event_items import EventItems
from mainstem.dynamodb.items.layout import MARKER, Layout, cursor_key, partition_key
from mainstem.dynamodb.items.marker_item import is_marked, marker_item
from mainstem.dynamodb.items.packing import Packed
from mainstem.values.events import AppendResult
from mainstem.values.expected import EXISTS
from simulation.database import Database
from simulation.history import Commit, History, LogRead, StreamRead, TimeSearch

RESTORED = "r-"
"""What the ids of streams begin with that only imports write to."""


class Placed(NamedTuple):
    partition: int
    position: int
    event: Packed


class Truth:
    """The log as the batches had it when they were put, and each stream and commit as the log has
    them.
    """

    def __init__(self, layout: Layout, database: Database, history: History) -> None:
        self.layout = layout
        self.logs: dict[int, list[Packed]] = {}
        self.streams: dict[str, list[Placed]] = defaultdict(list)
        self.commits: dict[str, list[Placed]] = defaultdict(list)
        self.sequenced: set[str] = set()
        """Commits that a sequencer put into the log, each stream's part for itself."""
        batches: dict[int, list[Item]] = defaultdict(list)
        for key, states in database.rows(layout.log).items.items():
            if key.hash.startswith("log#"):
                batches[int(key.hash.split("#")[1])].append(states[0].item)
        for partition in range(layout.partitions):
            self.logs[partition] = []
            for batch in sorted(batches[partition], key=lambda item: int(item["sk"])):
                self._add(partition, batch, history)

    def _add(self, partition: int, batch: Item, history: History) -> None:
        log, first = self.logs[partition], int(batch["sk"])
        events = columns_of(batch).rows()
        history.expect("L1", first == len(log), f"p{partition}: {first} after {len(log)} events")
        history.expect("L1", len(events) == batch["Count"], f"batch {batch['pk']!r} {first}")
        history.expect(
            "L1",
            self.layout.epoch_of(first) == self.layout.epoch_of(head_after(batch).position - 1)
            and str(batch["pk"]).endswith(f"#{self.layout.epoch_of(first)}"),
            f"batch {batch['pk']!r} {first} is not in its epoch",
        )
        for event in events:
            placed = Placed(partition, len(log), event)
            log.append(event)
            self.streams[event.stream_id].append(placed)
            self.commits[event.commit_id].append(placed)
            if is_sequenced(batch):
                self.sequenced.add(event.commit_id)

    def version(self, stream_id: str) -> int:
        return len(self.streams.get(stream_id, ()))


def watch(layout: Layout, database: Database, history: History) -> None:
    """From now on: nothing that is in a stream or in the log is changed, and no cursor falls."""

    def written(table: Table, item: Item, before: Item | None) -> None:
        if before is None:
            return
        if table == layout.events:
            history.expect("S1", holds=False, what=f"overwritten: {before} by {item}")
            return
        kind = str(item["pk"]).partition("#")[0]
        if kind in ("log", "segment"):
            emptied = {name: value for name, value in before.items() if name != "Events"}
            history.expect(
                "L2", kind == "log" and item == emptied, f"overwritten: {before} by {item}"
            )
            history.counts["emptied"] += 1
        elif kind == "partition":
            for mark in ("Settled", "Segmented", "Reclaimed"):
                risen = int(item.get(mark, 0)) >= int(before.get(mark, 0))
                history.expect("L3", risen, f"{item} after {before}")
        elif kind == "cursor":
            risen = int(item["Count"]) > int(before["Count"])
            history.expect("L3", risen, f"cursor {item} after {before}")

    database.watchers.append(written)


def check_tables(
    truth: Truth,
    database: Database,
    history: History,
    *,
    complete: bool = False,
    settled: bool = False,
) -> None:
    """``complete``: everything is in the log by now. ``settled``: it was repaired and settled."""
    marks = _marks(truth, database)
    for stream_id, placed in truth.streams.items():
        ids = [each.event.event_id for each in placed]
        history.expect("L3", ids == list(range(len(ids))), f"{stream_id} in the log: {ids}")
        cursor = database.rows(truth.layout.log).newest(cursor_key(stream_id))
        count = 0 if cursor is None else int(cursor["Count"])
        least = sum(each.position < marks[each.partition] for each in placed)
        history.expect(
            "L3",
            (len(ids) if settled else least) <= count <= len(ids)
            and (cursor is None or cursor["Last"] == placed[count - 1].position),
            f"{stream_id} has {len(ids)} events in the log, {least} of them settled: {placed}; cursor: "
            f"{cursor}",
        )
    _check_segments(truth, database, history, marks)
    _check_markers(truth.layout, database, history)
    names, items = truth.layout.attributes, EventItems(truth.layout)
    found: dict[str, dict[int, Item]] = defaultdict(dict)
    for key, states in database.rows(truth.layout.events).items.items():
        found[key.hash][key.sort] = states[-1].item
    for stream_id in found.keys() | truth.streams.keys():
        in_log, there = truth.streams.get(stream_id, []), found[stream_id]
        for event_id, item in sorted(there.items()):
            if event_id >= len(in_log):
                sequenced_later = not complete and names.position not in item
                history.expect("L4", sequenced_later, f"{stream_id} {event_id}: not in the log")
                continue
            _, position, event = in_log[event_id]
            same = (item[names.payload], item[names.commit_id]) == (event.data, event.commit_id)
            same = same and item.get(names.position, position) == position
            history.expect("S1", same, f"{item} is not {in_log[event_id]}")
            first, end = items.place(item).commit_first, items.place(item).version
            whole = end - 1 not in there or all(n in there for n in range(first, end))
            history.expect("S1", whole, f"{stream_id}: a hole between {first} and {end - 1}")
        if settled:
            history.expect(
                "S1",
                sorted(there) == list(range(len(in_log))),
                f"{stream_id} has items {sorted(there)}, the log {len(in_log)} events",
            )


def _check_markers(layout: Layout, database: Database, history: History) -> None:
    """Each commit of a caller's own id has a marker in each of its streams, and there are no others but of an
    import that was broken off.
    """
    items, due = EventItems(layout), {}
    for key, states in database.rows(layout.events).items.items():
        placed = items.place(states[-1].item)
        if placed.event_id == placed.commit_first and is_marked(placed.commit_id):
            marker = marker_item(key.hash, placed.commit_id, placed.event_id)
            due[Key.of(layout.log, marker)] = marker
    there = {
        key: states[-1].item
        for key, states in database.rows(layout.log).items.items()
        if key.hash.startswith(f"{MARKER}#")
    }
    kept = {
        key: item
        for key, item in there.items()
        if key in due or not key.hash.startswith(f"{MARKER}#{RESTORED}")
    }
    history.expect("S2", kept == due, f"markers: {there}, and due are {due}")
    history.counts["markers"] += len(there)


def _marks(truth: Truth, database: Database) -> dict[int, int]:
    """How far each partition is settled."""
    found = {}
    for partition in truth.logs:
        item = database.rows(truth.layout.log).newest(partition_key(partition)) or {}
        found[partition] = int(item.get("Settled", 0))
    return found


def _check_segments(
    truth: Truth, database: Database, history: History, marks: dict[int, int]
) -> None:
    """Segments follow each other without a hole, and hold what the log has; nothing else is emptied."""
    for partition, log in truth.logs.items():
        segments: list[Item] = []
        emptied = 0
        for key, states in database.rows(truth.layout.log).items.items():
            item = states[-1].item
            if key.hash.startswith(f"segment#{partition}#"):
                segments.append(item)
            elif key.hash.startswith(f"log#{partition}#") and is_emptied(item):
                emptied = max(emptied, head_after(item).position)
        end = 0
        for segment in sorted(segments, key=lambda item: int(item["sk"])):
            first, rows = int(segment["sk"]), columns_of(segment).rows()
            history.expect("L1", first == end, f"p{partition}: segment {first} after {end}")
            history.expect("L2", log[first : first + len(rows)] == rows, f"segment {segment}")
            end = head_after(segment).position
            history.counts["segments"] += 1
        history.expect("L2", emptied <= end, f"p{partition}: emptied to {emptied}, copied to {end}")
        history.expect("L2", end <= marks[partition], f"p{partition}: copied to {end}, unsettled")


def check_answers(truth: Truth, history: History) -> None:
    for commit_id, commit in history.commits.items():
        _check_commit(truth, history, commit_id, commit)
    for imported in history.restored:
        there = truth.streams.get(imported.stream_id, [])
        same = imported.event_id < len(there) and (
            there[imported.event_id].event.data == imported.event.data
        )
        history.expect("S2", same, f"restored, but not there: {imported}")
    for read in history.stream_reads:
        _check_stream_read(truth, history, read)
    for log_read in history.log_reads:
        _check_log_read(truth, history, log_read)
    for search in history.time_searches:
        _check_time_search(truth, history, search)
    for lookup in history.lookups:
        expected = results(truth, lookup.commit_id).get(lookup.stream_id)
        told = lookup.result
        same = not lookup.written if told is None else _as_told(told, expected)
        history.expect("S2", same, f"{lookup}, and it is {expected}")


def results(truth: Truth, commit_id: str) -> dict[str, AppendResult]:
    """What the commit did to each stream."""
    of_stream: dict[str, list[Placed]] = defaultdict(list)
    for placed in truth.commits.get(commit_id, ()):
        of_stream[placed.event.stream_id].append(placed)
    return {
        stream_id: AppendResult(
            stream_id,
            commit_id,
            placed[0].event.event_id,  # type: ignore[arg-type]
            placed[-1].event.event_id + 1,  # type: ignore[arg-type]
            placed[0].partition,  # type: ignore[arg-type]
            placed[0].position,  # type: ignore[arg-type]
            placed[-1].position,  # type: ignore[arg-type]
        )
        for stream_id, placed in of_stream.items()
    }


def _as_told(told: AppendResult, is_so: AppendResult | None) -> bool:
    """Positions are told where the event items have them."""
    if is_so is not None and told.first_position is None:
        is_so = is_so._replace(first_position=None, last_position=None)
    return told._replace(repeated=False) == is_so


def _check_commit(truth: Truth, history: History, commit_id: str, commit: Commit) -> None:
    there = truth.commits.get(commit_id, [])
    if commit.denied is not None:
        history.expect("S2", not there, f"{commit_id} was denied, but is there: {commit.denied}")
    if commit.acknowledged:
        history.expect("S2", bool(there), f"{commit_id} was acknowledged, and is not there")
    if not there:
        return
    for stream_id, events, _ in commit.writes:
        found = [each.event.data for each in there if each.event.stream_id == stream_id]
        history.expect(
            "S2",
            found == [event.data for event in events],
            f"{commit_id} wrote to {stream_id}: {found}",
        )
    groups: dict[object, list[int]] = defaultdict(list)
    for each in there:
        of_stream = each.event.stream_id if commit_id in truth.sequenced else None
        groups[each.partition, of_stream].append(each.position)
    for positions in groups.values():
        dense = positions == list(range(positions[0], positions[-1] + 1))
        history.expect("S2", dense, f"{commit_id} lies apart in the log: {positions}")
    known = results(truth, commit_id)
    expected = [known.get(write.stream_id) for write in commit.writes]
    for told in commit.acknowledged:
        same = [_as_told(result, there) for result, there in zip(told, expected, strict=True)]
        history.expect("S2", all(same), f"{commit_id}: told {told}, and it is {expected}")
    for write, result in zip(commit.writes, expected, strict=True):
        if result is None:
            continue
        at = int(result.first_event_id)
        as_expected = at == write.expected if isinstance(write.expected, int) else True
        history.expect("S2", as_expected, f"{commit_id} wrote at {at}, expecting {write.expected}")
        history.expect("S2", at > 0 or write.expected is not EXISTS, f"{commit_id}: at 0")


def _check_stream_read(truth: Truth, history: History, read: StreamRead) -> None:
    page, what = read.page, f"{read._replace(page=None)} -> {read.page}"  # type: ignore[arg-type]
    version = int(page.version)
    stream = truth.streams.get(read.stream_id, [])
    history.expect("R1", read.known <= version <= len(stream), f"{what}: there are {len(stream)}")
    if 0 < version < len(stream) and not read.stream_id.startswith(RESTORED):
        commits = [stream[n].event.commit_id for n in (version - 1, version)]
        history.expect("S2", commits[0] != commits[1], f"{what}: a part of a commit")
    end = version if read.to_version is None else min(read.to_version, version)
    wanted = list(range(min(read.from_version, end), end))
    if read.backwards:
        wanted.reverse()
    ids = [int(event.event_id) for event in page.events]
    history.expect("R1", ids == wanted[: len(ids)] and len(ids) <= read.max_count, what)
    if read.max_count:
        history.expect("R1", page.more == (len(ids) < len(wanted)), f"{what}: wanted {wanted}")
        history.expect("R1", bool(ids) or not wanted, f"{what}: nothing of {wanted}")
    for event in page.events:
        if event.event_id < len(stream):
            _, position, packed = stream[event.event_id]
            same = (event.data, event.commit_id) == (packed.data, packed.commit_id)
            same = same and event.position in (None, position)
            history.expect("R1", same, f"{event} is not {stream[event.event_id]}")


def _check_log_read(truth: Truth, history: History, read: LogRead) -> None:
    page, what = read.page, f"{read._replace(page=None)} -> {read.page}"  # type: ignore[arg-type]
    log, end = truth.logs[read.partition], int(page.next_position)
    history.expect("R1", end <= max(len(log), read.position), f"{what}: there are {len(log)}")
    history.expect("R1", read.position <= end <= read.position + read.max_count, what)
    if end == read.position:
        history.expect("R1", read.known <= read.position, f"{what}: there is more")
    wanted = [
        (position, log[position].stream_id, log[position].event_id, log[position].data)
        for position in range(read.position, min(end, len(log)))
        if read.log_filter.passes(log[position].stream_id, log[position].name)
    ]
    found = [(each.position, each.stream_id, each.event_id, each.data) for each in page.events]
    history.expect("R1", found == wanted, f"{what}: wanted {wanted}")


def _check_time_search(truth: Truth, history: History, search: TimeSearch) -> None:
    log = truth.logs[search.partition]
    earlier = all(event.recorded_us < search.recorded_us for event in log[: search.position])
    history.expect("R1", earlier and search.position <= len(log), f"{search}")
    if search.position < min(search.known, len(log)):
        reached = log[search.position].recorded_us >= search.recorded_us
        history.expect("R1", reached, f"{search}: recorded before")
