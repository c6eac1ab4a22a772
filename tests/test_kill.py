"""Writers and followers are killed at random, many times; what was acknowledged is there, once."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

import dynamodb_local
import kill_writer
import mainstem
from forking import Forker, forker
from mainstem import ANY, NewEvent, RecordedEvent, Store, VersionConflict
from mainstem.dynamodb import create_tables
from mainstem.testing.invariants import Replay, check_invariants, replay_all

ROUNDS = int(os.environ.get("MAINSTEM_KILL_ROUNDS", "12"))
"""How often each of the five processes is killed."""
WRITERS = ("w0", "w1", "w2")
FOLLOWERS = ("f0", "f1")


class Life(NamedTuple):
    """What one process said before it was killed."""

    name: str
    lines: list[list[Any]]


def run_and_kill(
    forker: Forker,
    call: Sequence[str],
    name: str,
    rng: random.Random,
    lines_at_most: Sequence[int] = (0, 1, 5, 30, 90),
) -> Life:
    """Start a process, let it say some lines, and kill it within the next few milliseconds. ``call`` is a
    module, and the arguments of its ``main``.
    """
    module, *arguments = call
    process = forker.fork(module, arguments)
    with process.output:
        lines = []
        for _ in range(rng.choice(lines_at_most)):
            line = process.output.readline()
            assert line, f"{name} ended by itself"
            lines.append(line)
        time.sleep(rng.random() * 0.01)  # any moment will do
        forker.kill(process)
        lines += process.output.readlines()
    return Life(name, [json.loads(line) for line in lines if line.endswith(b"\n")])


def lives_of_writer(forker: Forker, url: str, writer: str) -> list[Life]:
    rng = random.Random(writer)
    lives = []
    for number in range(ROUNDS):
        name = f"{writer}-{number}"
        lives.append(run_and_kill(forker, ["kill_writer", url, name, name], name, rng))
    return lives


def lives_of_follower(forker: Forker, url: str, follower: str) -> list[Life]:
    rng = random.Random(follower)
    call = ["kill_follower", url, follower]
    return [run_and_kill(forker, call, follower, rng) for _ in range(ROUNDS)]


def replay_in_the_middle(store: Store, writers: Sequence[Future[list[Life]]]) -> Replay:
    """The last replay that was made while writers were still being killed."""
    replay = replay_all(store)
    while not all(writer.done() for writer in writers):
        wait(writers, timeout=0.5)
        replay = replay_all(store)
    return replay


def append_until_done(store: Store, followers: Sequence[Future[list[Life]]]) -> None:
    """Give the followers something to see while they are being killed and all writers are gone."""
    while not all(follower.done() for follower in followers):
        store.append("ticks", [NewEvent("Ticked", None)], expected=ANY)
        wait(followers, timeout=0.002, return_when=FIRST_COMPLETED)


def check_commits(store: Store, lives: Sequence[Life]) -> None:
    """Acknowledged commits are there as they were answered, refused ones are not, and those that
    nobody knows of are there wholly or not at all; sent again, they take effect once.
    """
    by_commit: dict[str, list[RecordedEvent]] = {}
    for event in store.read_all():
        by_commit.setdefault(event.commit_id, []).append(event)
    outcomes = Counter[str]()
    for life in lives:
        plans = {commit_id: plan for kind, commit_id, *plan in life.lines if kind == "sent"}
        answers = {commit_id: rest for kind, commit_id, *rest in life.lines if kind != "sent"}
        refused = {commit_id for kind, commit_id, *_ in life.lines if kind == "conflict"}
        for commit_id, (plan,) in plans.items():
            events = by_commit.get(commit_id, [])
            if commit_id in refused:
                assert events == [], f"{commit_id} was refused and yet written"
                outcomes["refused"] += 1
            elif commit_id in answers:
                assert_whole(events, plan, answers[commit_id][0])
                outcomes["written"] += 1
            else:
                outcomes["unknown, written" if events else "unknown, not written"] += 1
                send_again(store, commit_id, plan, events)
    assert outcomes["written"] > 0
    assert outcomes["unknown, written"] + outcomes["unknown, not written"] > 0, outcomes


def assert_whole(
    events: Sequence[RecordedEvent], plan: Sequence[Any], firsts: Sequence[Any] | None
) -> None:
    """The events are those of the plan, all of them, once, and where the answer said."""
    wanted = [(stream_id, n) for stream_id, count, _ in plan for n in range(count)]
    assert [(event.stream_id, event.payload["n"]) for event in events] == wanted
    positions = [event.position for event in events]
    assert positions == list(range(positions[0] or 0, (positions[0] or 0) + len(positions)))
    if firsts is not None:
        found = [[event.stream_id, event.event_id] for event in events if event.payload["n"] == 0]
        assert found == firsts


def send_again(
    store: Store, commit_id: str, plan: Sequence[Any], before: Sequence[RecordedEvent]
) -> None:
    """A commit whose outcome its writer never learnt."""
    if before:
        assert_whole(before, plan, None)
    try:
        results = store.append_many(kill_writer.writes_of(plan, commit_id), commit_id=commit_id)
    except VersionConflict:
        assert not before, f"{commit_id} is there, and its repeat was refused"
        return
    assert {result.repeated for result in results} == {bool(before)}
    after = [event for event in store.read_all() if event.commit_id == commit_id]
    assert_whole(after, plan, None)


def check_follower(store: Store, name: str, lives: Sequence[Life]) -> None:
    """Its lives together saw every position in order; each began again at its checkpoint at most."""
    log = [[e.position, e.stream_id, e.event_id, e.commit_id] for e in store.read_all()]
    rest = store.subscribe(name, live=False)
    last = [[e.position, e.stream_id, e.event_id, e.commit_id] for e in rest]
    reached = 0
    for seen in [*(life.lines for life in lives), last]:
        if not seen:
            continue
        first = seen[0][0]
        assert reached - 10 <= first <= reached, f"{name} went on at {first}, having seen {reached}"
        assert seen == log[first : first + len(seen)]
        reached = max(reached, first + len(seen))
    assert reached == len(log)


@pytest.fixture(params=["sqlite", "dynamodb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """That of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'killed.db'}?synchronous=NORMAL"
    server: dynamodb_local.Server = request.getfixturevalue("dynamodb")
    made = f"dynamodb://killed-{uuid4().hex}?endpoint={server.endpoint}"
    create_tables(made, stream=False)
    return made


def test_killed_writers_and_followers_lose_and_double_nothing(url: str) -> None:
    """Some of the commits are larger than a transaction of DynamoDB."""
    with (
        forker("kill_writer", "kill_follower") as forks,
        mainstem.connect(url) as store,
        ThreadPoolExecutor(8) as pool,
    ):
        writers = [pool.submit(lives_of_writer, forks, url, name) for name in WRITERS]
        followers = [pool.submit(lives_of_follower, forks, url, name) for name in FOLLOWERS]
        halfway = replay_in_the_middle(store, writers)
        append_until_done(store, followers)
        written = [life for future in writers for life in future.result()]
        assert sum(len(life.lines) for life in written) > 20 * ROUNDS
        check_invariants(store, halfway, commit_ids_are_unique=True)
        check_commits(store, written)
        for name, future in zip(FOLLOWERS, followers, strict=True):
            check_follower(store, name, future.result())
