"""What makes a run doubtful: others' load, throttling, threads that moved. The state of the machine around it."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import Any

from q4engine import cpu_time
from q4engine.bench.conditions import State, read_state
from q4engine.bench.runner import OTHERS_LIMIT
from q4engine.bench.sustained import FALL, Reading, read_machine

MIGRATIONS_LIMIT = 4
"""A thread of a sample may be found on another CPU so often; a scheduler moves some without harm."""


@dataclass(frozen=True)
class Before:
    """The machine when a run began."""

    at: float
    state: State
    reading: Reading
    own_seconds: float


def look(n_threads: int) -> Before:
    """The machine now."""
    return Before(time.monotonic(), read_state(), read_machine(n_threads), _own_seconds())


def conditions(before: Before, after: Before, migrations: int | None) -> dict[str, Any]:
    """What is kept of a run's conditions, as data for JSON; None where the system does not say.

    Clocks in MHz, temperatures in degrees, others' CPU time in percent of one CPU.
    """
    seconds, others = after.at - before.at, None
    if before.state.machine is not None and after.state.machine is not None and seconds > 0:
        own = after.own_seconds - before.own_seconds
        others = cpu_time.others_percent(before.state.machine, after.state.machine, own, seconds)
    return {
        "others_percent_of_cpu": None if others is None else round(others, 1),
        "load_average": before.state.load_average,
        "mhz": [before.reading.mhz, after.reading.mhz],
        "celsius": [before.reading.celsius, after.reading.celsius],
        "throttles": _more(before.reading.throttles, after.reading.throttles),
        "cooling": [before.reading.cooling, after.reading.cooling],
        "allowed_share_of_clock": [before.reading.allowed, after.reading.allowed],
        "migrations": migrations,
    }


def doubts(found: dict[str, Any], seconds: float, n_looks: int) -> list[str]:
    """Why a run under these conditions is doubtful, in words. ``n_looks``: threads times samples."""
    named = []
    others = found["others_percent_of_cpu"]
    if others is not None and others > OTHERS_LIMIT and others * seconds > _LEAST_TICKS:
        named.append(f"others used {others:.0f} % of a CPU")
    allowed = [share for share in found["allowed_share_of_clock"] if share is not None]
    if found["throttles"] or any(share < 1 - FALL for share in allowed) or any(found["cooling"]):
        named.append("throttled")
    if found["migrations"] is not None and found["migrations"] > MIGRATIONS_LIMIT * n_looks:
        named.append(f"{found['migrations']} migrations")
    return named


_LEAST_TICKS = 20.0
"""Percent times seconds: /proc/stat counts in ticks of 10 ms, so that a few of them say nothing of a short run."""


def _more(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def _own_seconds() -> float:
    """CPU time of this process and of those that it has started and seen end."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
