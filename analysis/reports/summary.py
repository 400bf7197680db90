"""The line that each phase's report starts with: how fast, what bounds it, how sure, why, and what to do next."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis import breakdown
from analysis.advice import next_step
from analysis.errors import printable
from analysis.judging import Capture, JudgedPhase
from analysis.verdicts import Outcome, Verdict

_SPEAKING_SHARE = 0.05
_OPEN = (Outcome.NOT_MEASURED, Outcome.CANNOT_TELL)


@dataclass(frozen=True)
class Summary:
    """speed: '' where not known.  confidence: '' where there is no finding.  why, next: without a full stop."""

    title: str
    speed: str
    verdict: str
    confidence: str
    why: str
    next: str

    @property
    def line(self) -> str:
        head = "  ".join(part for part in (self.title, self.speed) if part)
        sure = f" ({self.confidence} confidence)" if self.confidence else ""
        return f"{head}  {self.verdict}{sure}: {self.why}. Next: {self.next}"


def of_phase(phase: JudgedPhase, capture: Capture) -> Summary:
    """The summary of one phase. Where no rule could speak, the largest part of its time does."""
    combined = phase.judgement.combined
    speed = f"{phase.tokens_per_second:.1f} tokens/s" if math.isfinite(phase.tokens_per_second) else ""
    confidence = str(combined.confidence) if combined.is_finding or combined.confidence else ""
    spoke = (verdict for verdict in phase.judgement.rules if verdict.outcome is combined.outcome)
    verdict, why = str(combined.outcome), _why(combined if combined.is_finding else next(spoke, combined))
    largest = _largest(phase, capture) if combined.outcome in _OPEN else ""
    if largest:
        verdict, why = largest, f"what bounds it is open; {why}"
    reason = capture.header.get("counters", "available")
    missing = "" if reason == "available" else str(reason)
    if combined.outcome is Outcome.NOT_MEASURED and missing:
        why = f"no counters: {printable(missing, 200)}"
    advice = next_step(combined, phase.evidence, phase.context, missing)
    if capture.assume and not combined.is_finding:
        advice = "confirm the projection below on a machine: q4engine run --capture there"
    return Summary(phase.title, speed, verdict, confidence, why, advice)


def _why(verdict: Verdict) -> str:
    """The verdict's text without its name, the first clause of several."""
    text = verdict.text.removeprefix(str(verdict.outcome)).removeprefix(": ")
    return text if verdict.outcome is Outcome.WAITING else text.split("; ")[0] or text


def _largest(phase: JudgedPhase, capture: Capture) -> str:
    """`gemv takes 85.0 % of the time`, '' where operations were not timed."""
    found = breakdown.of_phase(phase, capture.table)
    if found is None or not found.operations or not found.operations[0].share >= _SPEAKING_SHARE:
        return ""
    part = found.operations[0]
    return f"{part.name} takes {100 * part.share:.1f} % of the {'time' if found.of_time else 'instructions'}"
