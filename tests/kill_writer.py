"""Writes to a store until it is killed: `python kill_writer.py URL NAME SEED`.

Each line of its output is one JSON list: what it is about to send, and what became of it.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Sequence

import mainstem
from mainstem import ANY, Append, NewEvent, Store, VersionConflict
from mainstem.values.expected import Expected

SHARED = [f"shared-{number}" for number in range(4)]


def main(url: str, name: str, seed: str) -> None:
    rng = random.Random(seed)
    with mainstem.connect(url) as store:
        number = 0
        while True:
            commit_id = f"{name}-{number}"
            plan = make_plan(rng, store, f"own-{name}-{number}")
            tell("sent", commit_id, plan)
            try:
                results = store.append_many(writes_of(plan, commit_id), commit_id=commit_id)
            except VersionConflict:
                tell("conflict", commit_id)
            else:
                tell("written", commit_id, [(r.stream_id, r.first_event_id) for r in results])
            number += 1


def make_plan(rng: random.Random, store: Store, own: str) -> list[tuple[str, int, int]]:
    """Streams, how many events each, and the version expected (-1: any)."""
    streams = rng.sample(SHARED, rng.choice((1, 1, 2)))
    if rng.random() < 0.3:
        streams.append(own)
    plan = []
    for stream_id in streams:
        expected = -1 if rng.random() < 0.2 else store.version(stream_id)
        plan.append((stream_id, rng.choice((1, 1, 1, 2, 2, 7, 7, 120)), expected))
    return plan


def writes_of(plan: Sequence[tuple[str, int, int]], commit_id: str) -> list[Append]:
    """The commit that a plan means, each time the same."""
    return [
        Append(
            stream_id,
            [NewEvent("Written", {"commit": commit_id, "n": n}) for n in range(count)],
            expected_of(expected),
        )
        for stream_id, count, expected in plan
    ]


def expected_of(expected: int) -> Expected:
    return ANY if expected < 0 else expected


def tell(*what: object) -> None:
    """One line in a single write, so that a kill leaves whole lines."""
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
