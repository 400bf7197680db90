"""``python -m fuzz [TARGET …] [--minutes M | --until CASES | --seed N [--cases K]] [--guided]``: fuzzes targets in
turn, or repeats cases.

Failures go to stderr with what repeats them, and the exit code is 1. How many cases were run is kept in
build/fuzz/counts.json, and the next run goes on behind them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from fuzz import guided, native_plans
from fuzz.counts import Counts
from fuzz.harness import run_case
from fuzz.targets import NAMES, TARGETS, run

COUNTS = Path(__file__).resolve().parents[2] / "build" / "fuzz" / "counts.json"
_ROUND_SECONDS = 20.0
_LONG_ROUND_SECONDS = 60.0  # of a long run: starting a target costs a second or two


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Feed the project hostile input.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(NAMES)} (default: all)")
    parser.add_argument("--minutes", type=float, help="for all targets together (default: 1)")
    parser.add_argument("--until", type=int, metavar="CASES", help="until so many are counted, of all runs and targets")
    parser.add_argument("--counts", type=Path, default=COUNTS, help="where they are counted (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="repeat this case of one target, in this process")
    parser.add_argument("--cases", type=int, default=1, help="with --seed: so many cases from it on (default: 1)")
    parser.add_argument("--guided", action="store_true", help="let Atheris choose the cases, where it is installed")
    given = parser.parse_args()
    names = given.targets or list(NAMES)
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"there is no target {unknown[0]}")
    if given.seed is not None:
        if native_plans.NAME in names:
            parser.error(f"{native_plans.NAME} are repeated by {native_plans.PROGRAM} --seed N --cases 1")
        targets = [(TARGETS[name](), name) for name in names]
        seeds = range(given.seed, given.seed + given.cases)
        refused = [run_case(target, name, seed) for target, name in targets for seed in seeds]
        print("refused" if all(refused) else "taken")
        return 0
    if given.guided:
        return guided.run([name for name in names if name in TARGETS], given.minutes or 1.0)
    if native_plans.NAME in names:
        native_plans.build()
    counts, failures = Counts(given.counts), 0
    for name, seconds in _turns(names, given.minutes, given.until, counts):
        outcome = run(name, counts.next_seed(name), seconds)
        counts.add(name, outcome)
        if outcome.failure:
            failures += 1
            print(outcome.failure, file=sys.stderr, flush=True)
    print(*counts.lines(), sep="\n")
    return 1 if failures else 0


def _turns(
    names: Sequence[str], minutes: float | None, until: int | None, counts: Counts
) -> Iterator[tuple[str, float]]:
    """Target and seconds, round by round: all targets have the same time."""
    if minutes is None and until is not None:
        while counts.cases < until:
            yield from ((name, _LONG_ROUND_SECONDS) for name in names)
        return
    minutes = 1.0 if minutes is None else minutes
    rounds = max(1, round(minutes * 60 / _ROUND_SECONDS / len(names)))
    end = time.monotonic() + minutes * 60
    for _ in range(rounds):
        if time.monotonic() > end or (until is not None and counts.cases >= until):
            return
        yield from ((name, minutes * 60 / rounds / len(names)) for name in names)


if __name__ == "__main__":
    sys.exit(main())
