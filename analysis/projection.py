"""What an emulated capture's counts would take on a machine of an assumed bandwidth and arithmetic: a projection.

Each operation takes the longer of its bytes over the bandwidth and its work over the arithmetic, as under a roofline;
no latency, no waiting, no overlap between operations. Nothing of the emulator's own clock goes into it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis import operations
from analysis.errors import printable
from analysis.judging import JudgedPhase
from analysis.operations import Operation
from analysis.table import Table

MEMORY, COMPUTE = "bandwidth", "arithmetic"


@dataclass(frozen=True)
class Assumed:
    """bandwidth: bytes a second.  arithmetic: multiplications and additions a second."""

    bandwidth: float
    arithmetic: float


@dataclass(frozen=True)
class Projected:
    """One operation. seconds: a token.  limit: MEMORY or COMPUTE, whichever takes longer.  source: of the bytes."""

    name: str
    seconds: float
    limit: str
    source: str


@dataclass(frozen=True)
class Projection:
    """parts: the longest first.  left_out: operations of which neither bytes nor work are known."""

    assumed: Assumed
    parts: list[Projected]
    left_out: list[str]

    @property
    def seconds(self) -> float:
        """Of a token, over all parts."""
        return sum(part.seconds for part in self.parts)


def of_phase(phase: JudgedPhase, table: Table, assumed: Assumed) -> Projection | None:
    """The phase's projection, None where the capture has no rows of operations."""
    calls = [step.call for step in phase.phase.steps if step.call is not None]
    found = operations.of_calls(table, calls) if calls else []
    if not found:
        return None
    tokens = max(1, phase.phase.n_tokens)
    parts, left_out = [], []
    for operation in found:
        part = _projected(operation, assumed, tokens)
        if part is None:
            left_out.append(printable(operation.name, 40))
        else:
            parts.append(part)
    return Projection(assumed, sorted(parts, key=lambda part: -part.seconds), left_out)


def _projected(operation: Operation, assumed: Assumed, tokens: int) -> Projected | None:
    read, source = operation.bytes_read
    by_memory = read / assumed.bandwidth if math.isfinite(read) else 0.0
    by_work = operation.work / assumed.arithmetic
    if not by_memory and not by_work:
        return None
    limit = MEMORY if by_memory >= by_work else COMPUTE
    return Projected(printable(operation.name, 60), max(by_memory, by_work) / tokens, limit, source)
