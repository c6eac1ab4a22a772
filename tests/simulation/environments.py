"""Execution environments of one Lambda function that reads the log, paused anywhere.

Each lives in a thread of its own, of which exactly one runs at any time: at every request, and within what
the user's code does, the seed chooses who goes on. So one environment sleeps on old knowledge for as long as
the others need to go far ahead of it, or dies, and Lambda sends what it had to another one.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from typing import Any

from aws_help import Killed, ShopPlace, batches_of_log, event, failed, records_of
from mainstem.aws.publishing.publisher import Publisher
from mainstem.aws.reading import Reading, Subscribed
from mainstem.aws.sequencing import Sequencing
from mainstem.codec import JsonCodec
from mainstem.dynamodb.client.requests import Key, Update
from mainstem.dynamodb.items.layout import checkpoint_hash
from mainstem.port import Op
from mainstem.values.filters import LogFilter
from mainstem.values.positions import BEGINNING, Partition, Position
from mainstem.verbs.options import Batch
from repair_help import Shop
from simulation.history import History, Violation

_NAME = "totals"
_PATIENCE = 60
_MOST_STEPS = 4_000
_PLACE = re.compile(r'"partition":(\d+),"position":(\d+),')
_FIFO = "arn:aws:sqs:eu-west-1:000000000000:events.fifo"


def run_seed(seed: int) -> History:
    """Raises `Violation` where anything is not as promised."""
    stage = _Stage(seed)
    stage.run()
    if stage.history.broken:
        raise Violation(stage.history.broken)
    return stage.history


class _Text(JsonCodec):
    """The payloads of the simulated store are no JSON."""

    def decode(self, *_: Any, **__: Any) -> Any:
        return None


class _Environment:
    """One of them: works off invocations until nothing is left, or it is killed."""

    def __init__(self, stage: _Stage, number: int) -> None:
        self.stage = stage
        self.number = number
        self.turn = threading.Semaphore(0)
        self.ended = False
        self.idle = False
        self.rests = 0
        """For how many steps yet: Lambda tries again later, each time more so."""
        self.error: BaseException | None = None
        self._luck = random.Random(stage.luck.getrandbits(32))
        self._may_die = stage.mortal
        self._thread = threading.Thread(target=self._live, daemon=True)
        place = ShopPlace(stage.shop)
        place.before_request = self._asks
        subscribed = Subscribed(_NAME, BEGINNING, LogFilter(), _Text(), stage.batch_size)
        self.reading = Reading(place, subscribed, self._handler())
        self._thread.start()

    def go_on(self) -> None:
        """To its next step. Called by the stage."""
        self.turn.release()
        assert self.stage.turn.acquire(timeout=_PATIENCE), "an environment does not answer"

    def pause(self) -> None:
        """Let the stage choose who goes on."""
        self.stage.turn.release()
        assert self.turn.acquire(timeout=_PATIENCE), "the stage does not answer"
        if self.stage.is_over or (self._may_die and self._luck.random() < 0.01):
            raise Killed

    def _live(self) -> None:
        self.turn.acquire()
        records: list[Any] = []
        try:
            while True:
                records = self.stage.invocation()
                self.idle = not records
                if records:
                    records = self._invoked(records)
                self.pause()
        except Killed:
            if records:
                self.stage.waiting.append(records)
            self.stage.history.counts["killed"] += 1
        except BaseException as error:
            self.error = error
        self.ended = True
        self.stage.turn.release()

    def _invoked(self, records: list[Any]) -> list[Any]:
        """Until nothing of it is to come again, or it goes to whoever is asked."""
        while records:
            answer = failed(self.reading.handle(event(records), None))
            records = [each for each in records if each["dynamodb"]["SequenceNumber"] in answer]
            if records and self._luck.random() < 0.5:
                self.stage.waiting.append(records)
                return []
            # Lambda tries again later.
            self.rests = self._luck.randint(0, 80) if records else 0
            self.pause()
        return records

    def _asks(self, request: Any) -> None:
        self.pause()
        if isinstance(request, Update) and request.key.hash == checkpoint_hash(_NAME):
            if "Fence" in request.add:
                self.stage.holder[request.key.sort] = self.number
            elif self.stage.holder[request.key.sort] != self.number:
                self.stage.history.counts["refused"] += 1

    # What the function is for

    def _handler(self) -> Callable[[Batch, Callable[[], bool]], Position]:
        if not self.stage.publishes:
            return self._project
        publisher = Publisher(_FIFO, source="shop", client=_Queue(self), pause=lambda _: None)

        def publish(batch: Batch, out_of_time: Callable[[], bool]) -> Position:
            count = publisher.publish(batch.events, out_of_time)
            assert count == len(batch.events)
            return batch.next_position

        return publish

    def _project(self, batch: Batch, _: Callable[[], bool]) -> Position:
        places = [int(each.position or 0) for each in batch.events]
        self.stage.handed_out(self, batch.partition, places)
        self.pause()  # it takes its time
        return batch.next_position


class _Queue:
    """As much of a client as a FIFO queue needs. It takes a part of what it is given, now and then."""

    def __init__(self, environment: _Environment) -> None:
        self.meta = type("Meta", (), {"endpoint_url": "http://sqs"})
        self._environment = environment
        self._luck = random.Random(environment.number)

    def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
        stage = self._environment.stage
        taken, refused = [], []
        for entry in Entries:
            if self._luck.random() < 0.1:
                refused.append({"Id": entry["Id"], "Code": "Throttled", "SenderFault": False})
                continue
            found = _PLACE.search(entry["MessageBody"])
            assert found is not None
            partition, position = int(found[1]), int(found[2])
            stage.handed_out(self._environment, partition, [position])
            taken.append({"Id": entry["Id"]})
        self._environment.pause()
        return {"Successful": taken, "Failed": refused}


class _Stage:
    """The store, the environments, and the seed's choices."""

    def __init__(self, seed: int) -> None:
        self.luck = luck = random.Random(seed)
        self.history = History()
        self.shop = Shop(partitions=luck.choice((1, 1, 2)), seed=seed)
        self.publishes = luck.random() < 0.5
        self.batch_size = luck.choice((1, 2, 5))
        self.mortal = luck.random() < 0.5
        self.holder: dict[int, int] = {}
        """Who has made the newest claim on a partition."""
        self.waiting: list[list[Any]] = []
        """Invocations that Lambda has yet to send to somebody."""
        self.turn = threading.Semaphore(0)
        self.is_over = False
        self._left = 4
        """How often the log grows yet."""
        self._resets = 2
        self._handled: dict[int, set[int]] = {}
        self._fresh = 0
        self._grow()
        self._most = luck.choice((2, 3))
        self._environments: list[_Environment] = []

    def run(self) -> None:
        for _ in range(_MOST_STEPS):
            alive = [each for each in self._environments if not each.ended]
            if not (self.waiting or self._left) and all(each.idle for each in alive):
                break
            if len(alive) < self._most:
                alive.append(_Environment(self, len(self._environments)))
                self._environments.append(alive[-1])
            if self._left and self.luck.random() < 0.05:
                self._grow()
            if self._resets and self.luck.random() < 0.01:
                self._resets -= 1
                self._put_back()
            self.shop.database.now += 0.01
            awake = [each for each in alive if not each.rests]
            for each in alive:
                each.rests = max(0, each.rests - 1)
            if awake:
                self.luck.choice(awake).go_on()
        else:
            self.history.expect("progress", holds=False, what="it goes on and on")
        self.is_over = True
        for environment in self._environments:
            while not environment.ended:
                environment.go_on()
            error = environment.error
            self.history.expect("errors", error is None, repr(error))
        if not self.history.broken:
            self._check_end()

    def invocation(self) -> list[Any]:
        """What Lambda sends next; nothing where nothing is to be sent now."""
        return self.waiting.pop(0) if self.waiting else []

    def handed_out(self, environment: _Environment, partition: int, places: list[int]) -> None:
        """Events have reached the user's code, or the target, at this very moment."""
        self.history.counts["handed out"] += len(places)
        newest = self.holder.get(partition)
        self.history.expect(
            "fence first",
            newest == environment.number,
            f"{places} of p{partition} reach {environment.number}; the claim is {newest}'s",
        )
        saved = self._checkpoint(partition)
        self.history.expect(
            "fence first",
            min(places) >= saved,
            f"{places} of p{partition} come when the checkpoint is {saved} already",
        )
        self._handled.setdefault(partition, set()).update(places)

    def _grow(self) -> None:
        """Some streams have more events; Lambda is told of each of their batches, perhaps twice."""
        self._left -= 1
        before = len(batches_of_log(self.shop))
        for _ in range(self.luck.randint(1, 4)):
            stream_id = f"order-{self.luck.randrange(3)}"
            there = len(self.shop.in_table().get(stream_id, ()))
            self.shop.append(stream_id, self.luck.choice((1, 1, 2, 3)), expected=there)
        Sequencing(ShopPlace(self.shop)).handle(event(records_of(self.shop)), None)
        for record in batches_of_log(self.shop)[before:]:
            for _ in range(self.luck.choice((1, 1, 2))):
                self._fresh += 1
                told = {**record["dynamodb"], "SequenceNumber": f"{self._fresh:021}"}
                self.waiting.append([{**record, "dynamodb": told}])

    def _put_back(self) -> None:
        """Somebody resets the subscription."""
        partition = self.luck.randrange(self.shop.layout.partitions)
        adapter = self.shop.adapter()
        position = self.luck.randint(0, self._checkpoint(partition))

        def reset() -> Op[Any]:
            return adapter.set_checkpoint(_NAME, Partition(partition), Position(position))

        self.shop.run(reset())
        self.holder[partition] = -1
        self.history.counts["put back"] += 1

    def _checkpoint(self, partition: int) -> int:
        rows = self.shop.database.rows(self.shop.layout.log)
        item = rows.newest(Key(checkpoint_hash(_NAME), partition))
        return 0 if item is None else int(item.get("Position", 0))

    def _check_end(self) -> None:
        for partition in range(self.shop.layout.partitions):
            head = self.shop.run(self.shop.adapter().head(Partition(partition)))
            seen = self._handled.get(partition, set())
            missing = set(range(head)) - seen
            self.history.expect("L4", not missing, f"nobody was given {missing} of p{partition}")
