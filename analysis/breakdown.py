"""Where a phase's time went, by operation and by tensor, and what it must have read: known without any counter.

Of emulated captures instructions take the place of time, which is the emulator's there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis import operations
from analysis.errors import printable
from analysis.judging import JudgedPhase
from analysis.operations import Operation
from analysis.table import Table

_INSTRUCTIONS = ("INST_RETIRED", "INST_SPEC")


@dataclass(frozen=True)
class Part:
    """One operation or tensor of a phase. share: 0..1 of the phase's time, or of its instructions.

    amount: seconds a token, or instructions a token.  bandwidth: bytes/s read while it ran, by `source`.
    rate: multiplications and additions a second. Both NaN where not known, as they are of emulated captures.
    """

    name: str
    share: float
    amount: float
    bandwidth: float
    source: str
    rate: float


@dataclass(frozen=True)
class Breakdown:
    """of_time: False where shares are of instructions.  operations, tensors: the largest first."""

    of_time: bool
    operations: list[Part]
    tensors: list[Part]


def of_phase(phase: JudgedPhase, table: Table, tensors: bool = True) -> Breakdown | None:
    """The phase's parts, None where the capture has no per-operation rows. tensors: whether those are wanted too."""
    calls = [step.call for step in phase.phase.steps if step.call is not None]
    found = operations.of_calls(table, calls) if calls else []
    if not found:
        return None
    of_time = not phase.context.emulated
    if not of_time and not any(_instructions(part) for part in found):
        return None
    total = phase.phase.duration_s if of_time else sum(map(_instructions, found))
    tokens = max(1, phase.phase.n_tokens)

    def parts(those: Sequence[Operation]) -> list[Part]:
        described = [_part(one, of_time, total, tokens) for one in those]
        return sorted((part for part in described if part.share > 0), key=lambda part: -part.share)

    return Breakdown(of_time, parts(found), parts(operations.tensors_of_calls(table, calls)) if tensors else [])


def step_seconds(phase: JudgedPhase) -> tuple[float, float, float] | None:
    """5th percentile, median and 95th percentile of the steps' lengths, seconds; None for fewer than three alike."""
    lengths = [step.duration_s for step in phase.evidence.steps if step.n_eval == 1 and step.duration_s > 0]
    if len(lengths) < 3:
        return None
    low, middle, high = np.percentile(lengths, (5, 50, 95))
    return float(low), float(middle), float(high)


@dataclass(frozen=True)
class LeastTraffic:
    """Bytes a call that the model's size asks for, and the bytes/s and share of the peak (NaN: not known) they make.

    above_peak: more than can be, so that the share is withheld: the peak was not that of the machine as it ran.
    """

    per_call: float
    rate: float
    of_peak: float
    above_peak: bool = False


def least_traffic(phase: JudgedPhase) -> LeastTraffic | None:
    """Weights and the KV cache, each read once a call. None without the model's size or a true time."""
    steps, context = phase.evidence.steps, phase.context
    seconds = sum(step.duration_s for step in steps)
    if not context.model_bytes or context.emulated or not seconds > 0:
        return None
    total = sum(context.model_bytes + context.kv_read(step) for step in steps)
    rate = total / seconds
    share = rate / context.read_peak if context.read_peak else math.nan
    above = share > context.thresholds.roof_possible
    return LeastTraffic(total / len(steps), rate, math.nan if above else share, above)


def _part(one: Operation, of_time: bool, total: float, tokens: int) -> Part:
    amount = one.seconds if of_time else _instructions(one)
    share = amount / total if total > 0 else math.nan
    read, source = one.bytes_read
    is_timed = of_time and one.elapsed > 0
    bandwidth = read / one.elapsed if is_timed else math.nan
    rate = one.work / one.elapsed if is_timed and one.work else math.nan
    return Part(printable(one.name, 60), share, amount / tokens, bandwidth, source, rate)


def _instructions(one: Operation) -> float:
    return next((one.counts[event] for event in _INSTRUCTIONS if event in one.counts), 0.0)
