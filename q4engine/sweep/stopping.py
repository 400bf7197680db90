"""When a sweep has enough blocks: a number of them, or medians that are known well enough, or no time left."""

from __future__ import annotations

import math
from collections.abc import Iterable

from analysis.medians import LEAST, interval, middle
from q4engine.sweep.plan_file import Pace
from q4engine.sweep.results import DONE, NOISY, Run


def enough(pace: Pace, block: int, runs: Iterable[Run]) -> str:
    """Why block number ``block`` is not begun; empty where it is to be.

    With a target all combinations go on together until the last of them has it: so every comparison has the same
    blocks, and a lucky few values end nothing. Only whole pairs of blocks are judged.
    """
    if block >= pace.blocks:
        return f"{pace.blocks} repetitions are made"
    if pace.target is None or block % 2 or block < LEAST:
        return ""
    widest = widest_half_width(run for run in runs if run.block < block)  # a resumed sweep has later ones too
    if widest <= pace.target:
        return f"every median is known to ± {100 * widest:.2g} %, the target is {100 * pace.target:.2g} %"
    return ""


def spent(pace: Pace, runs: Iterable[Run]) -> str:
    """Why no further run is made, where the time of those made has reached the budget; else empty."""
    seconds = sum(run.seconds for run in runs)
    if pace.budget is None or seconds < pace.budget:
        return ""
    return f"the budget of {pace.budget:g} s is spent"


def widest_half_width(runs: Iterable[Run]) -> float:
    """Of all combinations and phases: half the width of the interval of the median time, as a share of it.

    A run's value is the median of its samples. Infinite where a combination has too few runs; those that have none,
    as they fail, are left out. How long a model took to load, or a text to tokenise once, is no target.
    """
    values: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        if run.state in (DONE, NOISY):
            for phase in {sample.phase for sample in run.samples} - {"load", "tokenize"}:
                per_token = [each.seconds / each.tokens for each in run.samples if each.phase == phase]
                values.setdefault((run.combination.hash, phase), []).append(middle(per_token))
    widest = 0.0
    for each in values.values():
        found = interval(each)
        widest = max(widest, math.inf if found is None else (found[1] - found[0]) / 2 / middle(each))
    return widest if values else math.inf
