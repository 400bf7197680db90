"""Plain means: where nothing tells how much each CPU or interval did, a verdict must be that of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from analysis.phase import Phase
from analysis.verdicts.evidence import Evidence
from analysis.verdicts.verdict import Judgement

_FEW = 0.10
"""Intervals of one length weigh about alike, so this share of them may say something else. CPUs may not."""


def disagreement(evidence: Evidence, judgement: Judgement, judge: Callable[[Evidence], Judgement]) -> str:
    """Why a verdict on plain means is none, '' where it may be one."""
    subject = evidence.subject
    if not isinstance(subject, Phase) or not subject.averaged or not _rests_on_means(judgement):
        return ""
    said: Counter[str] = Counter()
    for part in subject.averaged.values():
        alone = replace(subject, counts=part.counts, groups=part.groups, steps=[], parts={}, averaged={})
        verdict = judge(replace(evidence, subject=alone, steps=())).combined
        if verdict.is_finding:
            said[str(verdict.outcome)] += 1
    others = sum(said.values()) - max(said.values(), default=0)
    are_intervals = all(name.startswith("interval") for name in subject.averaged)
    if others <= (_FEW * sum(said.values()) if are_intervals else 0):
        return ""
    what = "intervals" if are_intervals else "scopes"
    told = ", ".join(f"{n} {outcome}" for outcome, n in said.most_common())
    return f"the {what} disagree, and nothing tells how much each of them did: {told}"


def _rests_on_means(judgement: Judgement) -> bool:
    return any(ratio.doubt for verdict in judgement.rules if verdict.is_finding for ratio in verdict.ratios.values())
