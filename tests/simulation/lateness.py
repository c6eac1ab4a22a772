"""Somebody who watches how far the log is behind, on a change stream that splits, in several processes."""

from __future__ import annotations

import random
from typing import Any

from aws_help import ShopPlace, Time, event, records_of
from mainstem.aws.sequencing import Sequencing
from mainstem.dynamodb.changes.lateness import Lateness, Looked
from mainstem.dynamodb.log.hints import hint_of
from repair_help import Shop
from simulation.history import Violation
from simulation.stream import START_S, Nature, SimulatedStream

_EXACT = 1e-3
_STEPS = 40


class Watched:
    """A shop with a change stream, and somebody who watches it."""

    def __init__(self, nature: Nature | None = None, *, seed: int = 0, partitions: int = 1) -> None:
        self.shop = Shop(partitions=partitions, seed=seed)
        calm = nature or Nature(shards=1)
        self.stream = SimulatedStream(
            self.shop.database, self.shop.layout.events, random.Random(seed), calm
        )
        self.lateness = self.another()

    def another(self) -> Lateness:
        """In a new process."""
        adapter = self.shop.adapter()
        return Lateness(self.shop.layout, adapter.items, adapter.sequencer, adapter.context)

    def look(self, lateness: Lateness | None = None, **more: Any) -> Looked:
        looked: Looked = self.shop.run((lateness or self.lateness).look(**more))
        return looked

    def later(self, seconds: float) -> None:
        self.shop.database.now += seconds

    def sequence(self, *stream_ids: str) -> None:
        """What the function does with the records of these streams, or of all."""
        self.stream.catch_up()
        records = [
            each
            for each in records_of(self.shop)
            if not stream_ids or each["dynamodb"]["Keys"]["StreamId"]["S"] in stream_ids
        ]
        Sequencing(ShopPlace(self.shop)).handle(event(records), Time(self.shop, 900))

    def waiting_s(self) -> float:
        """The truth."""
        self.stream.catch_up()
        in_log = self.shop.in_log()
        items = self.shop.adapter().items
        waiting = []
        for run in self.stream.runs.values():
            for record in run.records:
                hint = hint_of(items, record.new_image or {})
                if hint is not None and hint.last_id >= len(in_log.get(hint.stream_id, [])):
                    waiting.append(record.created_s)
        return START_S + self.shop.database.now - min(waiting) if waiting else 0.0


def run_seed(seed: int) -> None:
    """Raises `Violation` where a look that came to the end tells another age than the true one, or one
    that had too little time a younger one.
    """
    luck = random.Random(seed)
    nature = Nature(
        shards=luck.choice((1, 3)),
        delay=luck.choice((0.0, 5.0)),
        splits=luck.choice((0.0, 0.2)),
        iterator_seconds=luck.choice((900.0, 20.0)),
    )
    watched = Watched(nature, seed=seed, partitions=luck.choice((1, 2)))
    versions: dict[str, int] = {}
    watched.look()
    processes = [watched.lateness] * luck.choice((1, 2))
    have_come_to_the_end = set()
    for _ in range(_STEPS):
        stream_id = f"order-{luck.randrange(12)}"
        count = luck.choice((1, 1, 4))
        watched.shop.append(stream_id, count, expected=versions.get(stream_id, 0))
        versions[stream_id] = versions.get(stream_id, 0) + count
        watched.later(luck.random() * 10)
        if luck.random() < 0.4:
            watched.sequence(*luck.sample(sorted(versions), luck.randint(1, len(versions))))
        turn = luck.randrange(len(processes))
        if luck.random() < 0.1:
            processes[turn] = watched.another()
        left = [luck.choice((0, 1, 2))] if luck.random() < 0.2 else None
        looked = watched.look(processes[turn], out_of_time=lambda left=left: _is_over(left))
        truth = watched.waiting_s()
        if looked.at_end:
            _hold(abs(looked.age_s - truth) <= _EXACT, f"told {looked.age_s}, and it is {truth}")
            have_come_to_the_end.add(processes[turn])
        elif processes[turn] in have_come_to_the_end:
            least = truth - nature.delay - _EXACT
            _hold(looked.age_s >= least, f"told {looked.age_s}, and it is {truth}")
        _hold(looked.at_end or left is not None, "it had time, and did not come to the end")
    watched.later(10)
    watched.sequence()
    _hold(watched.look(processes[0]).age_s == watched.waiting_s() == 0.0, "all is in the log")


def _is_over(left: list[int] | None) -> bool:
    """After so many looks at the clock."""
    if left is None:
        return False
    left[0] -= 1
    return left[0] < 0


def _hold(holds: bool, what: str) -> None:
    if not holds:
        raise Violation([("lateness", what)])
