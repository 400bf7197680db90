"""Phases with given counts, for tests of the rules."""

from __future__ import annotations

import math
from dataclasses import replace

from analysis.cores import load
from analysis.phase import Count, Phase, Step
from analysis.verdicts import Context

N2 = Context(load("neoverse-n2-r0p3"))
CYCLES = 1e8


def phase(
    n: int = 10, n_eval: int = 1, seconds: float = 0.05, bin_s: float = math.nan, running: float = 1.0, **shares: float
) -> Phase:
    """`n` equal steps with counts given per cycle, all in one group."""
    step_counts = {"CPU_CYCLES": Count(CYCLES, running, "g0")}
    step_counts |= {event: Count(CYCLES * share, running, "g0") for event, share in shares.items()}
    steps = [Step(512 + i, n_eval, i * seconds, seconds, step_counts, {"g0": step_counts}, i) for i in range(n)]
    total = {event: replace(count, value=n * count.value, samples=n) for event, count in step_counts.items()}
    return Phase("any", 0, n * n_eval, 0.0, n * seconds, steps, total, {"g0": total}, bin_s=bin_s)


def stalls(be: float, m: float, **more: float) -> dict[str, float]:
    return {"STALL_BACKEND": be, "STALL_BACKEND_MEM": be * m, **more}


def gbps(share: float) -> float:
    """Refills a cycle that make `share` GB/s in a step of 0.05 s."""
    return share * 1e9 / 64 / (CYCLES / 0.05)
