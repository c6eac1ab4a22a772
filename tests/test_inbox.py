"""What a worker may write down as dealt with, and when it looks again at streams with a hole."""

from __future__ import annotations

from mainstem.dynamodb.changes.holes import Holes
from mainstem.dynamodb.changes.inbox import Inbox
from mainstem.dynamodb.changes.told import ShardRecords
from mainstem.dynamodb.client.requests import ChangeRecord
from mainstem.dynamodb.log.hints import Hint


def batch(shard_id: str, *numbers: int) -> ShardRecords:
    records = [ChangeRecord("INSERT", {}, {}, str(number), 0) for number in numbers]
    return ShardRecords(shard_id, tuple(records))


def finished(inbox: Inbox) -> list[tuple[str, str]]:
    return [(each.shard_id, each.last) for each in inbox.finished()]


def test_a_batch_is_finished_when_all_its_partitions_are_dealt_with() -> None:
    inbox = Inbox()
    inbox.put(batch("s", 1, 2), [(0, Hint("a", 0)), (3, Hint("b", 0))])
    assert inbox.waiting == 2
    inbox.dealt_with(0)
    assert finished(inbox) == []
    inbox.dealt_with(3)
    assert finished(inbox) == [("s", "2")]
    assert (finished(inbox), inbox.waiting, inbox.tasks()) == ([], 0, [])


def test_a_later_batch_waits_for_those_before_it() -> None:
    inbox = Inbox()
    inbox.put(batch("s", 1), [(0, Hint("a", 0))])
    inbox.put(batch("s", 2), [(1, Hint("b", 0))])
    inbox.put(batch("other", 7), [(1, Hint("c", 0))])
    inbox.dealt_with(1)
    assert finished(inbox) == [("other", "7")]
    inbox.dealt_with(0)
    assert finished(inbox) == [("s", "2")]


def test_records_that_need_nothing_are_finished_at_once_unless_others_wait_before_them() -> None:
    inbox = Inbox()
    inbox.put(batch("s", 1), [])
    assert finished(inbox) == [("s", "1")]
    inbox.put(batch("s", 2), [(0, Hint("a", 0))])
    inbox.put(batch("s", 3), [])
    assert finished(inbox) == []
    inbox.dealt_with(0)
    assert finished(inbox) == [("s", "3")]


def test_a_task_that_failed_comes_again_with_what_has_come_since() -> None:
    inbox = Inbox()
    inbox.put(batch("s", 1), [(0, Hint("a", 0))])
    assert [task.hints for task in inbox.tasks()] == [(Hint("a", 0),)]
    inbox.put(batch("s", 2), [(0, Hint("a", 1))])
    assert [task.hints for task in inbox.tasks()] == [(Hint("a", 0), Hint("a", 1))]


def test_a_hole_is_looked_at_again_less_and_less_often() -> None:
    holes = Holes()
    holes.note("a", 3, 5, now=0.0)
    assert holes.due(9.9) is None
    assert holes.due(10.0) == ("a", 5)
    holes.note("a", 3, 8, now=10.0)
    assert holes.due(29.9) is None
    assert holes.due(30.0) == ("a", 8)
    now, waits = 30.0, []
    for _ in range(12):
        holes.note("a", 3, 8, now)
        step = next(wait for wait in range(10, 4000, 10) if holes.due(now + wait))
        waits.append(step)
        now += step
    assert waits[:3] == [40, 80, 160]
    assert waits[-1] == 3600
    holes.filled("a")
    assert len(holes) == 0


def test_so_many_holes_are_remembered_and_no_more() -> None:
    holes = Holes()
    for number in range(1_200):
        holes.note(f"s-{number}", 0, 1, now=0.0)
    assert len(holes) == 1_000
