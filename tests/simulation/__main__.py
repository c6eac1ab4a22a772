"""Run seeds by hand: one with everything that happens, or many; or break the code on purpose."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from simulation.mutants import MUTANTS
from simulation.mutation import catching_seed
from simulation.scenario import run_seed
from simulation.seen_by import note_seen_by

_PORTION = 100
"""Seeds that a process runs before it says how they went."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    commands = parser.add_subparsers(required=True)
    seed = commands.add_parser("seed", help="run one seed and print each request")
    seed.add_argument("number", type=int)
    seed.set_defaults(run=lambda args: _one(args.number))
    soak = commands.add_parser("soak", help="run many seeds, on all processors")
    soak.add_argument("--seeds", type=int, default=50_000, help="how many (default: 50,000)")
    soak.add_argument(
        "--from", type=int, default=0, dest="first", help="the first one (default: 0)"
    )
    soak.set_defaults(run=lambda args: _soak(range(args.first, args.first + args.seeds)))
    mutants = commands.add_parser(
        "mutants", help="break the code on purpose, see, and note by which seeds"
    )
    mutants.add_argument(
        "--seeds", type=int, default=2_000, help="for each, at most (default: 2,000)"
    )
    mutants.set_defaults(run=lambda args: _mutants(args.seeds))
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what goes wrong is meant to
    return int(arguments.run(arguments))


def _one(seed: int) -> int:
    try:
        history = run_seed(seed, trace=print)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return 1
    print(f"Seed {seed} holds: {dict(history.counts)}")
    return 0


def _soak(seeds: range) -> int:
    portions = [seeds[n : n + _PORTION] for n in range(0, len(seeds), _PORTION)]
    counts: Counter[str] = Counter()
    failed = done = 0
    with ProcessPoolExecutor() as pool:
        for portion, (failures, found) in zip(portions, pool.map(_portion, portions), strict=True):
            done += len(portion)
            counts += found
            failed += len(failures)
            for failure in failures:
                print(failure)
            if done % (20 * _PORTION) == 0:
                print(f"{done:,} seeds, {failed} of them failed", flush=True)
    print(f"{done:,} seeds, {failed} of them failed. In all: {dict(counts)}")
    return 1 if failed else 0


def _portion(seeds: Sequence[int]) -> tuple[list[str], Counter[str]]:
    logging.disable(logging.CRITICAL)
    failures: list[str] = []
    counts: Counter[str] = Counter()
    for seed in seeds:
        try:
            counts += Counter(run_seed(seed).counts)
        except Exception as error:
            failures.append(
                f"{rerun(seed)}\n{type(error).__name__}: {error}"
                f"\n{traceback.format_exc(limit=-3) if not isinstance(error, AssertionError) else ''}"
            )
    return failures, counts


def rerun(seed: int) -> str:
    """What to say of a seed that failed."""
    return f"Seed {seed} failed. See it with: PYTHONPATH=tests python -m simulation seed {seed}"


def _mutants(most: int) -> int:
    seen_by: dict[str, int] = {}
    for mutant in MUTANTS:
        seed = catching_seed(mutant, range(most))
        if seed is not None:
            seen_by[mutant.name] = seed
        told = f"not seen in {most:,} seeds" if seed is None else f"seen by seed {seed}"
        print(f"{mutant.invariant:<8}{told:<28}{mutant.name}", flush=True)
    note_seen_by(seen_by)
    print(f"{len(seen_by)} of {len(MUTANTS)} mutants were seen.")
    return 0 if len(seen_by) == len(MUTANTS) else 1


if __name__ == "__main__":
    sys.exit(main())
