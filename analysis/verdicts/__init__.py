"""From counts to verdicts: four rules and what they say together. No rule ever looks at a phase's name.

`judge(phase, context)` is the way in, `judge_step(step, phase, context)` the same for one token.
"""

from __future__ import annotations

from analysis.phase import Phase, Step, StepFacts
from analysis.verdicts import roofline_rule, stall_rule, topdown_rule, waiting_rule
from analysis.verdicts.combined import combine
from analysis.verdicts.evidence import Context, Evidence, gather, gather_step
from analysis.verdicts.verdict import Check, Confidence, Family, Judgement, Outcome, Verdict

__all__ = [
    "Check",
    "Confidence",
    "Context",
    "Evidence",
    "Family",
    "Judgement",
    "Outcome",
    "Verdict",
    "gather",
    "gather_step",
    "judge",
    "judge_evidence",
    "judge_step",
]


def judge(phase: Phase, context: Context, known: dict[int, StepFacts] | None = None) -> Judgement:
    """The verdicts on a phase. `known`: facts by call number, where the capture keeps them beside the counts."""
    return judge_evidence(gather(phase, context, known), context)


def judge_step(step: Step, phase: Phase, context: Context) -> Judgement:
    """The verdicts on one step of `phase`."""
    return judge_evidence(gather_step(step, phase, context), context)


def judge_evidence(evidence: Evidence, context: Context) -> Judgement:
    """The verdicts on evidence that was gathered before."""
    by_stalls = stall_rule.judge(evidence, context)
    by_roofline = roofline_rule.judge(evidence, context)
    by_topdown = topdown_rule.judge(evidence, context, by_stalls)
    by_waiting = waiting_rule.judge(evidence, context)
    combined = combine(by_stalls, by_roofline, by_topdown, by_waiting)
    return Judgement(by_stalls, by_roofline, by_topdown, by_waiting, combined)
