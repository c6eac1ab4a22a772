"""Both ways of sequencing at once, on real data: writers, workers, a segmenter and followers are killed at
random, many times; the log is complete afterwards, and every follower saw exactly that log.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

import pytest

import dynamodb_local
import mainstem
from forking import Forker, forker
from kill_incidents import append_next, streams_of
from kill_worker import PACE, RHYTHM
from mainstem import Store, VersionConflict
from mainstem.demo.check import check
from mainstem.demo.data import load
from mainstem.dynamodb import Verdict, create_tables, sequence, verify_log
from mainstem.testing.invariants import check_invariants, replay_all
from test_kill import Life, check_follower, run_and_kill

MODULES = ("kill_follower", "kill_incidents", "kill_segmenter", "kill_worker")
ROUNDS = int(os.environ.get("MAINSTEM_KILL_ROUNDS", "8"))
"""How often each of the eight processes is killed."""
EVENTS = 1_000
"""Of the incidents."""
FOLLOWERS = ("f0", "f1")


@pytest.fixture
def url(dynamodb: dynamodb_local.Server) -> str:
    made = f"dynamodb://killed-{uuid4().hex}?endpoint={dynamodb.endpoint}"
    create_tables(made)
    return made


def lives(forker: Forker, *call: str, name: str) -> list[Life]:
    rng = random.Random(name)
    return [
        # A worker that has nothing to do says a line each second.
        run_and_kill(forker, call, f"{name}-{number}", rng, (0, 1, 3, 8))
        for number in range(ROUNDS)
    ]


def lives_of_writer(forker: Forker, url: str, name: str) -> list[Life]:
    rng = random.Random(name)
    return [
        run_and_kill(forker, ["kill_incidents", url, f"{name}-{number}", str(EVENTS)], name, rng)
        for number in range(ROUNDS)
    ]


def write_what_is_left(store: Store) -> None:
    """Beside the writers, which may be the faster ones at any append: then look again."""
    for stream_id, events in streams_of(load(EVENTS)).items():
        complete = False
        while not complete:
            with suppress(VersionConflict):
                complete = append_next(store, stream_id, events, 3)


def test_processes_of_both_kinds_killed_at_random_leave_a_complete_log(url: str) -> None:
    streaming = f"{url}&sequencing=stream"
    with (
        forker(*MODULES) as forks,
        mainstem.connect(streaming) as store,
        ThreadPoolExecutor(9) as pool,
    ):
        followers = {
            name: pool.submit(lives, forks, "kill_follower", url, name, name=name)
            for name in FOLLOWERS
        }
        others: list[Future[list[Life]]] = [
            pool.submit(lives_of_writer, forks, streaming, "stream-0"),
            pool.submit(lives_of_writer, forks, streaming, "stream-1"),
            pool.submit(lives_of_writer, forks, url, "transactional"),
            pool.submit(lives, forks, "kill_worker", url, name="worker-0"),
            pool.submit(lives, forks, "kill_worker", url, name="worker-1"),
            pool.submit(lives, forks, "kill_segmenter", url, name="segmenter"),
        ]
        write_what_is_left(store)
        halfway = replay_all(store)
        for future in others:
            future.result()
        status = sequence(url, idle_seconds=0.5, reclaim=True, pace=PACE, rhythm=RHYTHM)
        assert not status.unreadable
        assert not status.holes
        certified = verify_log(url, full=True)
        assert certified.verdict is Verdict.COMPLETE, certified.findings
        assert certified.events == EVENTS
        assert certified.segments
        check_invariants(store, halfway, commit_ids_are_unique=True)
        assert check(load(EVENTS), list(store.read_all())).sound
        for name, future in followers.items():
            check_follower(store, name, future.result())
