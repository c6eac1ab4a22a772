"""How old the oldest event is that is not in the log, seen from the change stream's own records.

A sequencer that does not run can't report it. So another process follows the change stream too, and checks
for each record whether its event is in the log. In each shard it stays at the first record whose event is
not: that is the oldest there. It checks this record again until the event is in the log, or DynamoDB has
deleted the record.

The place in each shard is saved in the log table, so that a new process can continue there. Two such
processes do not harm each other: the saved place only says where to begin, and an old place only costs
reading.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from mainstem.dynamodb.changes.shard_reader import ShardReader
from mainstem.dynamodb.changes.shards import is_after
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import (
    ChangeRecord,
    Control,
    DescribeStream,
    Get,
    Got,
    Shard,
    StreamDescription,
)
from mainstem.dynamodb.items.event_items import EventItems
from mainstem.dynamodb.items.lateness_item import noted_places, places_in
from mainstem.dynamodb.items.layout import LATENESS_KEY, Layout
from mainstem.dynamodb.items.table_checks import check_stream
from mainstem.dynamodb.log.hints import hint_of
from mainstem.dynamodb.log.sequencer import Sequencer
from mainstem.errors import StoreDamaged
from mainstem.port import Op
from mainstem.values.positions import Partition

_log = logging.getLogger("mainstem")

_ENDED: Final = ""
"""In place of a sequence number: nothing more comes of the shard."""


class Looked(NamedTuple):
    """What one look has found."""

    age_s: float
    """Of the oldest event that is not in the log; 0.0 where all that were seen are."""
    records: int
    """That were looked at."""
    shards: int
    """That are read."""
    at_end: bool
    """Whether every shard was looked at as far as it goes, or to an event that is not in the log."""


class _Told(NamedTuple):
    """One record: the event that it tells of, and when it was written."""

    sequence: str
    created_s: int
    stream_id: str | None
    """None: it tells nothing that the log would have to have."""
    last_id: int


class _Followed:
    """How far one shard is known to be in the log."""

    def __init__(
        self, arn: str, shard_id: str, after: str | None, seen_s: int | None = None
    ) -> None:
        self.shard_id = shard_id
        self.reader = ShardReader(arn, shard_id, after)
        self.after = after
        """The last record that is in the log, as are those before it; None: no record was looked at."""
        self.read: list[_Told] = []
        """Records after it. The event of the first is not in the log, or was not looked for yet."""
        self.ended = after == _ENDED
        self.newest_s: int | None = None
        """When the last record was written that is known to be in the log."""
        self.seen_s = seen_s
        """When it was read to its very end, or was not there yet: what is after the records that were read
        came later. None: it never was."""
        self.at_end = False
        """It was looked at as far as it goes, or to the first event that is not in the log."""

    @property
    def waiting_since_s(self) -> int | None:
        """When the oldest event was written that, as far as is known, is not in the log.

        Where there was no time to read on, any event that was not read may be it, except at the very first
        time through what was there before anybody looked.
        """
        if self.read:
            return self.read[0].created_s
        if self.at_end or self.seen_s is None:
            return None
        return self.seen_s if self.newest_s is None else max(self.seen_s, self.newest_s)

    def moved(self, arn: str, after: str) -> _Followed:
        """The same shard, where somebody else has got farther."""
        # Some of the records that were read and wait may be after that place, too.
        seen_s = self.read[0].created_s if self.read else self.seen_s
        place = _Followed(arn, self.shard_id, after, seen_s)
        place.newest_s = self.newest_s
        return place


class Lateness:
    """Follows the change stream of one store's events table. One operation at a time."""

    def __init__(
        self, layout: Layout, items: EventItems, sequencer: Sequencer, context: Context
    ) -> None:
        self._layout = layout
        self._items = items
        self._sequencer = sequencer
        self._context = context
        self._arn = ""
        self._places: dict[str, _Followed] = {}
        self._saved: dict[str, str] | None = None
        self._begun_s: int | None = None
        """When the last look began, or the one under way."""

    def look(self, out_of_time: Callable[[], bool] = lambda: False) -> Op[Looked]:
        """Look at what has come since the last time, until ``out_of_time``.

        Raises `StoreFormatError` where the table has no change stream, and `StoreBusy`.
        """
        attempts = Attempts(self._context)
        before_s, self._begun_s = self._begun_s, self._context.clock() // 1_000_000
        shards = yield from self._described(attempts)
        yield from self._load(attempts, shards, before_s)
        places = list(self._places.values())
        records = 0
        for place in places:
            place.at_end = place.ended
        for place in places:
            records += yield from self._follow(attempts, place, out_of_time)
        yield from self._save(attempts)
        oldest_s = min(
            (since for place in places if (since := place.waiting_since_s) is not None),
            default=None,
        )
        now_s = self._context.clock() / 1_000_000
        age_s = 0.0 if oldest_s is None else max(0.0, now_s - oldest_s)
        return Looked(age_s, records, len(places), all(place.at_end for place in places))

    def _described(self, attempts: Attempts) -> Op[dict[str, Shard]]:
        """The shards of the table's change stream, which may be another than the last time."""
        name = self._layout.events.name
        answer = yield from attempts.call(Control("DescribeTable", {"TableName": name}))
        check_stream(answer["Table"], name)
        arn = str(answer["Table"]["LatestStreamArn"])
        if arn != self._arn:
            self._arn, self._places, self._saved = arn, {}, None
        shards: dict[str, Shard] = {}
        after: str | None = None
        while True:
            page: StreamDescription = yield from attempts.call(DescribeStream(arn, after))
            shards |= {shard.shard_id: shard for shard in page.shards}
            after = page.last_shard
            if after is None:
                return shards

    def _load(
        self, attempts: Attempts, shards: Mapping[str, Shard], before_s: int | None
    ) -> Op[None]:
        """A place in each shard that there is. Where others are farther, it is theirs. Shards that are new
        were not there at the last look, ``before_s``.
        """
        before_s = before_s if self._places else None  # those of a new change stream are not new
        got: Got = yield from attempts.call(Get(self._layout.log, LATENESS_KEY))
        saved = places_in(got.item, self._arn)
        is_first = saved is None
        for shard_id in self._places.keys() - shards.keys():
            del self._places[shard_id]
        for shard_id, shard in shards.items():
            place = self._places.get(shard_id)
            after = (saved or {}).get(shard_id)
            if place is None:
                if is_first and shard.last_sequence is not None:
                    after = _ENDED  # of before anybody has looked
                self._places[shard_id] = _Followed(self._arn, shard_id, after, before_s)
            elif after is not None and _is_farther(after, place):
                self._places[shard_id] = place.moved(self._arn, after)
        self._saved = saved

    def _follow(
        self, attempts: Attempts, place: _Followed, out_of_time: Callable[[], bool]
    ) -> Op[int]:
        """How many records were read."""
        count = 0
        while not (place.at_end or out_of_time()):
            if not place.read:
                page = yield from place.reader.read(attempts)
                if page.lost:
                    _log.warning(
                        "Records of the change stream were gone before they were looked at."
                    )
                place.read = [self._told(record) for record in page.records]
                place.ended = page.ended and not place.read
                if not place.read:
                    place.at_end, place.seen_s = True, self._begun_s
                count += len(place.read)
            known = yield from self._in_log(place.read)
            if known:
                last = place.read[known - 1]
                place.after, place.newest_s = last.sequence, last.created_s
                place.read = place.read[known:]
            if place.read:
                place.at_end = True
                if place.seen_s is None:
                    place.seen_s = place.read[0].created_s  # later records came later
        return count

    def _told(self, record: ChangeRecord) -> _Told:
        stream_id, last_id = None, 0
        if record.event_name == "INSERT":
            try:
                hint = hint_of(self._items, record.new_image or record.keys)
            except StoreDamaged as error:
                # It is never in the log: the verification finds it.
                _log.warning("A change record is skipped: %s", error)
                hint = None
            if hint is not None:
                stream_id, last_id = hint.stream_id, hint.last_id
        return _Told(record.sequence_number, record.created_s, stream_id, last_id)

    def _in_log(self, told: Sequence[_Told]) -> Op[int]:
        """How many of the records, from the first on, tell of events that are in the log."""
        by_partition: dict[Partition, set[str]] = {}
        for each in told:
            if each.stream_id is not None:
                partition = self._layout.partition(each.stream_id)
                by_partition.setdefault(partition, set()).add(each.stream_id)
        counts: dict[str, int] = {}
        for partition, stream_ids in by_partition.items():
            counts |= yield from self._sequencer.counts(partition, sorted(stream_ids))
        for number, each in enumerate(told):
            if each.stream_id is not None and counts[each.stream_id] <= each.last_id:
                return number
        return len(told)

    def _save(self, attempts: Attempts) -> Op[None]:
        places = {
            shard_id: after
            for shard_id, place in self._places.items()
            if (after := _ENDED if place.ended else place.after) is not None
        }
        if places == self._saved:
            return
        yield from attempts.call(noted_places(self._layout, self._arn, places))
        self._saved = places


def _is_farther(after: str, place: _Followed) -> bool:
    """Whether another process has saved a later place than this one."""
    if place.ended:
        return False
    return after == _ENDED or is_after(after, place.after)
