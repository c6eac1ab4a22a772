"""Writing events that have their ids, times and commits already; what is there already is compared.

Everything is checked before anything is written. Then commits are written in the order given, as
many in one transaction as fit; each is all or nothing, except where it is to more streams than a
transaction has room for (49 with one partition): such a commit is written by parts, in its order,
and the events of one part are all or nothing. A repeat writes whatever is missing.

Markers are put before the events. One that is left without its event says nothing, so they take no room
in the events' transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mainstem.codec import JsonCodec
from mainstem.dynamodb.append.commits import fits, fits_begun, marker_puts
from mainstem.dynamodb.append.pending import Pending
from mainstem.dynamodb.append.with_log import WithLog
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import BatchGet, Item, Key, Transact
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.event_items import Entry, EventItems, Placed
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.log.cursors import Cursors
from mainstem.dynamodb.log.sequencer import Sequencer
from mainstem.dynamodb.log.upkeep import Upkeep
from mainstem.dynamodb.streams.stream_end import Streams
from mainstem.port import ImportCounts, ImportedEvent, Op
from mainstem.values.events import EncodedEvent
from mainstem.verbs.importing import check_due, compare

_NO_CODEC = JsonCodec()
"""Nothing is decoded here."""


class Importer:
    """Writes imported events."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        streams: Streams,
        with_log: WithLog,
        sequencer: Sequencer,
        upkeep: Upkeep,
        context: Context,
        bounds: Bounds,
    ) -> None:
        self._layout = layout
        self._items = items
        self._streams = streams
        self._with_log = with_log
        self._sequencer = sequencer
        self._upkeep = upkeep
        self._context = context
        self._bounds = bounds

    def write(self, events: Sequence[ImportedEvent]) -> Op[ImportCounts]:
        """As `mainstem.port.Adapter.import_events`; each transaction has a deadline of its own."""
        attempts = Attempts(self._context)
        written = 0
        while True:
            missing = yield from self._missing(events)
            for piece, whole in self._pieces(missing):
                pending = Pending(self._layout, piece, whole=whole)
                yield from self._put_markers(piece)
                yield from self._with_log.settle(Attempts(self._context), pending)
                if pending.positions is None:
                    # Somebody else has appended meanwhile, or before, without the log: look again.
                    yield from self._catch_up(attempts, pending)
                    break
                yield from self._complete(pending)
                yield from self._upkeep.begin()
                written += len(piece)
            else:
                return ImportCounts(written, len(events) - written)
            yield from attempts.pause("others wrote to the same streams at every try")

    def _put_markers(self, piece: Sequence[Entry]) -> Op[None]:
        puts = [put for _, put in marker_puts(self._layout, piece, ())]
        for start in range(0, len(puts), self._bounds.items):
            some = tuple(puts[start : start + self._bounds.items])
            token = f"{self._context.random.getrandbits(128):032x}"
            request = some[0] if len(some) == 1 else Transact(some, token)
            yield from Attempts(self._context).call(request)

    def _missing(self, events: Sequence[ImportedEvent]) -> Op[list[Entry]]:
        """The events that are not there yet, ready to be written. Raises `ImportConflict`."""
        stored = yield from self._stored(events)
        streams = {
            stream_id: _Stream(version, last) for stream_id, (version, last) in stored.items()
        }
        there = yield from self._events_there(events, streams)
        added: list[tuple[ImportedEvent, int]] = []
        for imported in events:
            stream = streams[imported.stream_id]
            if imported.event_id < stream.stored:
                compare(there[imported.stream_id, imported.event_id], imported)
            elif imported.event_id < stream.version:
                compare(stream.added[imported.event_id - stream.stored], imported)
            else:
                check_due(imported, stream.version)
                added.append((imported, stream.add(imported)))
        return [_entry(imported, commit_first) for imported, commit_first in added]

    def _stored(self, events: Sequence[ImportedEvent]) -> Op[dict[str, tuple[int, Placed | None]]]:
        """For each stream its version and last event, all of whose items are written."""
        attempts = Attempts(self._context)
        stream_ids = list(dict.fromkeys(imported.stream_id for imported in events))
        counts = yield from Cursors(self._layout).counts(attempts, stream_ids)
        # And the events behind: a stream may have some that were not sequenced yet.
        ends = yield from self._get(
            attempts,
            [
                Key(stream_id, event_id)
                for stream_id, count in counts.items()
                for event_id in (count - 1, count)
                if event_id >= 0
            ],
        )
        stored: dict[str, tuple[int, Placed | None]] = {}
        for stream_id, count in counts.items():
            item = ends.get(Key(stream_id, count - 1))
            if (count and item is None) or Key(stream_id, count) in ends:
                count, _ = yield from self._streams.settled_version(attempts, stream_id)
                last = yield from self._streams.at(attempts, stream_id, count - 1)
            else:
                last = None if item is None else self._items.place(item)
            stored[stream_id] = count, last
        return stored

    def _catch_up(self, attempts: Attempts, refused: Pending) -> Op[None]:
        """Have the streams sequenced whose cursors were in the way."""
        firsts = {
            entry.event.stream_id: entry.event.event_id for entry in reversed(refused.entries)
        }
        for stream_id, refusal in refused.refusals.items():
            if not refusal.event_taken and firsts[stream_id] > refusal.in_log:
                yield from self._sequencer.catch_up(stream_id, firsts[stream_id], attempts)

    def _events_there(
        self, events: Sequence[ImportedEvent], streams: dict[str, _Stream]
    ) -> Op[dict[tuple[str, int], ImportedEvent]]:
        attempts = Attempts(self._context)
        wanted = [
            Key(imported.stream_id, imported.event_id)
            for imported in events
            if imported.event_id < streams[imported.stream_id].stored
        ]
        found = yield from self._get(attempts, wanted)
        there = {}
        for key in wanted:
            item = found.get(key)
            while item is None:
                yield from attempts.pause(
                    f"event {key.sort} of stream {key.hash!r} is being written"
                )
                again = yield from self._get(attempts, [key])
                item = again.get(key)
            there[key.hash, key.sort] = self._imported(item)
        return there

    def _get(self, attempts: Attempts, keys: Sequence[Key]) -> Op[dict[Key, Item]]:
        found = yield from attempts.batch_get(BatchGet(self._layout.events, tuple(keys)))
        return found

    def _imported(self, item: Item) -> ImportedEvent:
        event = self._items.recorded(item, _NO_CODEC)
        return ImportedEvent(
            event.stream_id,
            event.event_id,
            EncodedEvent(event.name, event.data, event.metadata_json),
            event.recorded_us,
            event.commit_id,
        )

    def _pieces(self, entries: Sequence[Entry]) -> Iterator[tuple[list[Entry], bool]]:
        """What is to be written together, and whether its transaction holds every item."""
        piece: list[Entry] = []
        for commit in _commits(entries):
            if piece and self._fits([*piece, *commit]):
                piece += commit
                continue
            if piece:
                yield _extents(piece), True
            piece = []
            if self._fits(commit):
                piece = commit
            elif fits_begun(self._layout, self._items, commit, self._bounds):
                yield _extents(commit), False
            else:
                for part in self._parts(commit):
                    yield _extents(part), True
        if piece:
            yield _extents(piece), True

    def _parts(self, commit: Sequence[Entry]) -> Iterator[list[Entry]]:
        """A commit that no transaction can hold, cut where one is full."""
        part: list[Entry] = []
        for entry in commit:
            if part and not self._fits([*part, entry]):
                yield part
                part = []
            part.append(entry)
        yield part

    def _fits(self, entries: Sequence[Entry]) -> bool:
        return fits(self._layout, self._items, entries, self._bounds, marked=False)

    def _complete(self, pending: Pending) -> Op[None]:
        if not pending.whole:
            yield from self._streams.complete(
                Attempts(self._context), pending.entries, pending.positions or ()
            )


class _Stream:
    """One stream as it will be: the events that the table has, and after them those to be written."""

    __slots__ = ("_commit", "_commit_first", "added", "stored")

    def __init__(self, stored: int, last: Placed | None) -> None:
        self.stored = stored
        self.added: list[ImportedEvent] = []
        self._commit = None if last is None else last.commit_id
        self._commit_first = 0 if last is None else last.commit_first

    @property
    def version(self) -> int:
        return self.stored + len(self.added)

    def add(self, imported: ImportedEvent) -> int:
        """Put it after the last one. Returns the id of its commit's first event: events of one
        commit follow each other, though perhaps not in one call.
        """
        if imported.commit_id != self._commit:
            self._commit, self._commit_first = imported.commit_id, self.version
        self.added.append(imported)
        return self._commit_first


def _entry(imported: ImportedEvent, commit_first: int) -> Entry:
    stream_id, event_id, event, recorded_us, commit_id = imported
    packed = Packed(
        stream_id, event_id, event.name, event.data, event.metadata, recorded_us, commit_id
    )
    return Entry(packed, commit_first, event_id)


def _commits(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Consecutive events of one commit id."""
    commit: list[Entry] = []
    for entry in entries:
        if commit and commit[-1].event.commit_id != entry.event.commit_id:
            yield commit
            commit = []
        commit.append(entry)
    if commit:
        yield commit


def _extents(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, each with the last event that its commit has of its stream among them."""
    last: dict[tuple[str, str, int], int] = {}
    for event, commit_first, _ in entries:
        last[event.stream_id, event.commit_id, commit_first] = event.event_id
    return [
        entry._replace(
            commit_last=last[entry.event.stream_id, entry.event.commit_id, entry.commit_first]
        )
        for entry in entries
    ]
