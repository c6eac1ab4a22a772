"""DynamoDB simulated: thousands of seeds, each with its own faults, and every invariant holds."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulation.__main__ import rerun
from simulation.mutants import MUTANTS
from simulation.mutation import Mutant, catching_seed
from simulation.scenario import run_seed
from simulation.seen_by import seen_by

TESTS = Path(__file__).parent
PORTION = 250
SEEDS = 1_000
"""Each mutant is seen by one of them at least."""
RARE = {
    "lost checkpoint",
    "AppendOutcomeUnknown",
    "CancelledError",
    "other error",
    "too large",
    "crashed",
    "busy",
}
RARE |= {"restored", "put right", "put back", "repaired as by command"}
RARE |= {"markers", "marked again", "repeated after a restore"}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What is logged of faults that are meant to be."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", range(0, SEEDS, PORTION))
def test_every_invariant_holds_whatever_goes_wrong(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + PORTION):
        try:
            counts += Counter(run_seed(seed).counts)
        except Exception as error:
            raise AssertionError(rerun(seed)) from error
    # A simulation in which nothing happens holds everything.
    assert counts["acknowledged"] > 2 * PORTION
    assert counts["conflict"] > PORTION / 2
    assert not [what for what in RARE if not counts[what]]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_step_is_seen(mutant: Mutant) -> None:
    noted = seen_by().get(mutant.name, 0)
    assert catching_seed(mutant, (noted, *range(SEEDS))) is not None


@pytest.mark.parametrize("seed", range(40))
def test_a_seed_makes_the_same_trace_each_time(seed: int) -> None:
    """Each request and its answer, in their order."""

    def trace() -> list[str]:
        found: list[str] = []
        run_seed(seed, trace=found.append)
        return found

    assert trace() == trace()


@pytest.mark.parametrize("seed", [1, 11, 17, 23, 101])
def test_a_seed_is_the_same_in_every_process(seed: int) -> None:
    """Also where Python orders its sets otherwise."""

    def trace(hash_seed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "simulation", "seed", str(seed)],
            env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        )
        return hashlib.sha256(done.stdout).hexdigest()

    assert trace("1") == trace("4")


def test_a_failing_seed_says_how_to_run_it_again() -> None:
    assert "python -m simulation seed 17" in rerun(17)
