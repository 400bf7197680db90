"""What a rule says: an outcome, the comparisons that led to it, and how much it is worth. Plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from analysis.metrics import Ratio


class Outcome(StrEnum):
    """Everything a rule can conclude. The first group are findings, the second say why there is none."""

    MEMORY = "memory-bound"
    COMPUTE = "compute-bound"
    COMPUTE_BY_STALLS = "compute-bound, by stalls alone"
    CORE_UNCLEAR = "core-bound, cause unclear"
    MIXED = "mixed"
    FRONTEND = "front-end-bound"
    RETIRING = "not back-end limited: retiring"
    SPECULATION = "bad-speculation-bound"
    NOT_BACKEND = "not back-end limited"
    BACKEND = "back-end-bound, memory or core unknown"
    WAITING = "waiting-bound"
    DISAGREE = "rules disagree"

    NOT_MEASURED = "not measured"
    CANNOT_TELL = "cannot tell"
    RESOLUTION = "insufficient resolution"
    NOT_WAITING = "not waiting"


class Family(StrEnum):
    """What two rules have to share in order to agree."""

    MEMORY = "memory"
    CORE = "core"
    MIXED = "mixed"
    FRONTEND = "front end"
    SPECULATION = "speculation"
    NOT_BACKEND = "not the back end"
    BACKEND = "the back end"
    WAITING = "waiting"
    UNKNOWN = "unknown"


FAMILY: dict[Outcome, Family] = {
    Outcome.MEMORY: Family.MEMORY,
    Outcome.COMPUTE: Family.CORE,
    Outcome.COMPUTE_BY_STALLS: Family.CORE,
    Outcome.CORE_UNCLEAR: Family.CORE,
    Outcome.RETIRING: Family.CORE,
    Outcome.MIXED: Family.MIXED,
    Outcome.FRONTEND: Family.FRONTEND,
    Outcome.SPECULATION: Family.SPECULATION,
    Outcome.NOT_BACKEND: Family.NOT_BACKEND,
    Outcome.BACKEND: Family.BACKEND,
    Outcome.WAITING: Family.WAITING,
}


class Confidence(IntEnum):
    """How much a finding is worth; reasons say what lowered it."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Check:
    """One comparison: `value` against `threshold`, which holds where value >= threshold (`at_least`) or <= it.

    interval: 95 % bootstrap interval of the value over the steps, None without enough of them.
    """

    key: str
    label: str
    value: float
    threshold: float
    at_least: bool
    unit: str = "share"
    interval: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        return self.value >= self.threshold if self.at_least else self.value <= self.threshold

    @property
    def margin(self) -> float:
        """Distance to the threshold in the value's own unit: positive where the check holds with room."""
        return self.value - self.threshold if self.at_least else self.threshold - self.value

    @property
    def relative_margin(self) -> float:
        return self.margin / abs(self.threshold) if self.threshold else math.inf

    @property
    def is_crossed(self) -> bool:
        """Whether the interval holds values on the other side of the threshold."""
        return self.interval is not None and self.interval[0] < self.threshold < self.interval[1]


@dataclass(frozen=True)
class Verdict:
    """One rule's finding.

    checks: the comparisons that decided, the decisive one last.  ratios: what was measured, by key.
    remarks: what a reader must know to weigh it.  reasons: what lowered the confidence.
    """

    rule: str
    outcome: Outcome
    text: str
    checks: tuple[Check, ...] = ()
    confidence: Confidence = Confidence.NONE
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    ratios: dict[str, Ratio] = field(default_factory=dict)
    deferred: bool = False
    """True where the rule handed the question to another one: it is then no second opinion."""

    @property
    def family(self) -> Family:
        return FAMILY.get(self.outcome, Family.UNKNOWN)

    @property
    def is_finding(self) -> bool:
        return self.family is not Family.UNKNOWN

    @property
    def margin(self) -> float | None:
        """The smallest margin of the checks, absolute in the check's unit; None without checks."""
        closest = min(self.checks, key=lambda check: abs(check.relative_margin), default=None)
        return abs(closest.margin) if closest else None


@dataclass(frozen=True)
class Judgement:
    """The rules' verdicts on one phase or step, and the one that they make together."""

    stalls: Verdict
    roofline: Verdict
    topdown: Verdict
    waiting: Verdict
    combined: Verdict

    @property
    def rules(self) -> tuple[Verdict, ...]:
        return self.stalls, self.roofline, self.topdown, self.waiting
