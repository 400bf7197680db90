"""Whether a change brings what was expected of it: the way that was asked for and the changed one, in turns."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from q4engine.bench.statistics import median
from q4engine.errors import Q4Error
from q4engine.explain.causes import Cause
from q4engine.explain.measuring import Measured, Plan, Way, in_turns
from q4engine.explain.surroundings import Places

LEAST_GAIN = 1.03
"""A change that makes it less faster than this changes nothing that a user would see."""


@dataclass(frozen=True)
class Check:
    """gains: by phase, how many times as fast the changed way was, the median of the turns.  sure: by phase, whether
    all turns but one in five agree that it was faster (or slower).  confirmed: None where it could not be tried."""

    gains: dict[str, float]
    sure: dict[str, bool]
    confirmed: bool | None
    text: str


def check(path: Path, way: Way, cause: Cause, plan: Plan, places: Places) -> Check:
    """Tries the change of a cause, where it can be tried here."""
    if cause.change.way is None:
        return Check({}, {}, None, "not tried: it is not in this program's hands")
    here = os.sched_getaffinity(0) if places.available is None else places.available
    if gone := sorted(set(cause.change.way.cpus or ()) - set(here)):
        return Check({}, {}, None, f"not tried: CPU {gone[0]} is not available here")
    try:
        before, after = in_turns(path, [way, cause.change.way], plan, places)
    except Q4Error as error:  # no room for the model twice
        return Check({}, {}, None, f"not tried: {error}")
    return judged(before, after)


def judged(before: Measured, after: Measured) -> Check:
    """What the turns say."""
    gains, sure = {}, {}
    for name, phase in before.phases.items():
        pairs = zip(phase.seconds, after.phases[name].seconds, strict=True)
        ratios = [one / other for one, other in pairs]
        gains[name] = median(ratios)
        agree = sum((ratio > 1) == (gains[name] > 1) for ratio in ratios)
        sure[name] = agree >= math.ceil(0.8 * len(ratios))
    better = [name for name, gain in gains.items() if gain >= LEAST_GAIN and sure[name]]
    worse = [name for name, gain in gains.items() if gain <= 1 / LEAST_GAIN and sure[name]]
    told = ", ".join(f"{name} {gain:.2f} times as fast" for name, gain in gains.items())
    if better and not worse:
        return Check(gains, sure, True, f"confirmed: {told}")
    why = f"{' and '.join(worse)} slower" if worse else "no gain beyond what turns differ by"
    return Check(gains, sure, False, f"withdrawn, {why}: {told}")
