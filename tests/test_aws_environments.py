"""Several execution environments of one function: whoever lost the claim hands out nothing."""

from __future__ import annotations

import pytest

from simulation.environment_mutants import MUTANTS, SCENARIO
from simulation.environments import run_seed
from simulation.mutation import Mutant, catching_seed

SEEDS = 200
MOST = 300
"""Seeds until a mutant is caught."""


def test_only_the_newest_claim_hands_out_whoever_sleeps_or_dies() -> None:
    counts: dict[str, int] = {}
    for seed in range(SEEDS):
        for what, count in run_seed(seed).counts.items():
            counts[what] = counts.get(what, 0) + count
    for what in ("handed out", "refused", "killed", "put back"):
        assert counts[what] > 10, counts


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_is_broken_on_purpose_is_seen(mutant: Mutant) -> None:
    assert catching_seed(mutant, range(MOST), SCENARIO) is not None
