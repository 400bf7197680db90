"""``python -m fuzz [TARGET …] [--minutes M | --seed N]``: fuzzes each target in turn, or repeats one case.

Failures go to stderr with the command that repeats them, and the exit code is 1. How many cases were run so far is
kept in build/fuzz/counts.json.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from fuzz.harness import Counts, run_case, run_for
from fuzz.targets import TARGETS

COUNTS = Path(__file__).resolve().parents[2] / "build" / "fuzz" / "counts.json"
_ROUND_SECONDS = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Feed the project hostile input.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=1.0, help="for all targets together (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="repeat this case of one target, in this process")
    given = parser.parse_args()
    names = given.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"there is no target {unknown[0]}")
    if given.seed is not None:
        refused = [run_case(TARGETS[name](), name, given.seed) for name in names]
        print("refused" if all(refused) else "taken")
        return 0
    counts, failures = Counts(COUNTS), 0
    rounds = max(1, round(given.minutes * 60 / _ROUND_SECONDS / len(names)))
    seconds = given.minutes * 60 / rounds / len(names)
    for _, name in itertools.product(range(rounds), names):
        first = counts.next_seed(name)
        outcome = run_for(TARGETS[name], name, itertools.count(first), seconds)
        counts.add(name, outcome, first + outcome.cases + (outcome.failure is not None))
        if outcome.failure:
            failures += 1
            print(outcome.failure, file=sys.stderr)
    for name, row in counts.by_target.items():
        print(f"{name:25} {row['cases']:10} cases, {row['refused']} refused, next seed {row['next_seed']}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
