"""The card that each phase's report starts with: how fast, what bounds it, how sure, why, and what to do next."""

from __future__ import annotations

import math

from analysis import absent_counters, breakdown, palette
from analysis.advice import next_step
from analysis.breakdown import Part
from analysis.errors import printable
from analysis.judging import Capture, JudgedPhase
from analysis.reports.model import Card
from analysis.verdicts import Outcome, Verdict

_SPEAKING_SHARE = 0.05
_OPEN = (Outcome.NOT_MEASURED, Outcome.CANNOT_TELL)


def of_phase(phase: JudgedPhase, capture: Capture) -> Card:
    """The summary of one phase. Where no rule could speak, the largest part of its time does."""
    combined = phase.judgement.combined
    speed = f"{phase.tokens_per_second:.1f} tokens/s" if math.isfinite(phase.tokens_per_second) else ""
    confidence = str(combined.confidence) if combined.is_finding or combined.confidence else ""
    spoke = (verdict for verdict in phase.judgement.rules if verdict.outcome is combined.outcome)
    verdict, why = str(combined.outcome), _why(combined if combined.is_finding else next(spoke, combined))
    hue = palette.cause(combined.family)
    largest = _largest(phase, capture) if combined.outcome in _OPEN else None
    if largest:
        of = "instructions" if phase.context.emulated else "time"
        verdict = f"{largest.name} takes {100 * largest.share:.1f} % of the {of}"
        why, hue = f"what bounds it is open; {why}", palette.operation(largest.name)
    reason = capture.header.get("counters", "available")
    missing = "" if reason == "available" else str(reason)
    if combined.outcome is Outcome.NOT_MEASURED and missing:
        why = f"no counters: {printable(missing, 200)}"
    advice = next_step(combined, phase.evidence, phase.context, missing)
    if capture.assume and not combined.is_finding:
        advice = "confirm the projection below on a machine: q4engine run --capture there"
    absent = None if missing else absent_counters.of_phase(phase.phase)
    if absent:
        seen = f"; by the times {verdict} ({confidence} confidence): {why}" if combined.is_finding else ""
        return Card(phase.title, speed, absent.verdict, "", absent.why + seen, absent.advice, hue)
    return Card(phase.title, speed, verdict, confidence, why, advice, hue)


def _why(verdict: Verdict) -> str:
    """The verdict's text without its name, the first clause of several."""
    text = verdict.text.removeprefix(str(verdict.outcome)).removeprefix(": ")
    return text if verdict.outcome is Outcome.WAITING else text.split("; ")[0] or text


def _largest(phase: JudgedPhase, capture: Capture) -> Part | None:
    """The operation that takes most, None where operations were not timed."""
    found = breakdown.of_phase(phase, capture.table, tensors=False)
    if found is None or not found.operations or not found.operations[0].share >= _SPEAKING_SHARE:
        return None
    return found.operations[0]
