"""The rules together: one finding where they agree, all of them where they do not, the reasons where none is."""

from __future__ import annotations

from dataclasses import replace

from analysis.verdicts.counting import TO_SETTLE
from analysis.verdicts.verdict import Confidence, Family, Outcome, Verdict

RULE = "combined"
# A low bandwidth only says that bandwidth is not the limit, which each of these agrees with.
_NOT_BANDWIDTH = (Family.CORE, Family.FRONTEND, Family.SPECULATION, Family.NOT_BACKEND)
_NOT_BACKEND = (Family.CORE, Family.FRONTEND, Family.SPECULATION)


def combine(stalls: Verdict, roofline: Verdict, topdown: Verdict, waiting: Verdict) -> Verdict:
    """The combined verdict. Waiting leads where it is most of the time; then rule 1, top-down, and bandwidth last."""
    if waiting.is_finding:
        return replace(waiting, rule=RULE)
    findings = [verdict for verdict in (stalls, topdown, roofline) if verdict.is_finding and not verdict.deferred]
    if not findings:
        return _nothing(stalls, roofline, topdown)
    lead = findings[0]
    if not all(_agree(lead, other, roofline) for other in findings[1:]):
        return _disagreement(findings, roofline)
    chosen = _most_specific(findings, roofline)
    outcome, text = chosen.outcome, chosen.text
    if outcome is Outcome.COMPUTE_BY_STALLS and any(verdict.outcome is Outcome.COMPUTE for verdict in findings[1:]):
        outcome, text = Outcome.COMPUTE, text.replace(Outcome.COMPUTE_BY_STALLS, Outcome.COMPUTE, 1)
    confidence = max(verdict.confidence for verdict in findings)
    reasons = tuple(dict.fromkeys(reason for verdict in findings for reason in verdict.reasons))
    deciding = [verdict for verdict in findings if verdict.family is chosen.family]
    if len(deciding) == 1 and (len(findings) == 1 or chosen is not lead):
        reasons = (f"only the {chosen.rule} rule had something to say", *reasons)
        confidence = min(chosen.confidence, Confidence.MEDIUM)
    settled = chosen.family is not Family.BACKEND
    remarks = dict.fromkeys(remark for verdict in findings for remark in verdict.remarks)
    shown = tuple(remark for remark in remarks if not (settled and remark.startswith(TO_SETTLE)))
    return Verdict(RULE, outcome, text, chosen.checks, confidence, reasons, shown)


def _most_specific(findings: list[Verdict], roofline: Verdict) -> Verdict:
    """The first finding, unless it only says where the answer lies and another one says what it is."""
    lead = findings[0]
    if lead.family is Family.NOT_BACKEND:
        other = next((verdict for verdict in findings if verdict.family is not Family.NOT_BACKEND), lead)
        return lead if other is roofline else other
    if lead.family is Family.BACKEND:
        return next((verdict for verdict in findings if verdict.family is not Family.BACKEND), lead)
    return lead


def _agree(lead: Verdict, other: Verdict, roofline: Verdict) -> bool:
    families = {lead.family, other.family}
    if len(families) == 1:
        return True
    if Family.BACKEND in families:
        return all(family in (Family.BACKEND, Family.MEMORY, Family.CORE, Family.MIXED) for family in families)
    bandwidth = next((verdict for verdict in (lead, other) if verdict is roofline), None)
    if bandwidth is not None and bandwidth.family is Family.CORE:
        return all(family in _NOT_BANDWIDTH for family in families)
    return Family.NOT_BACKEND in families and all(family in (*_NOT_BACKEND, Family.NOT_BACKEND) for family in families)


def _disagreement(findings: list[Verdict], roofline: Verdict) -> Verdict:
    said = "; ".join(f"{verdict.rule} says {verdict.text}" for verdict in findings)
    by_stalls = findings[0].family
    remarks: tuple[str, ...] = ()
    if by_stalls is Family.MEMORY and roofline.family is Family.CORE:
        remarks = ("memory stalls at a low bandwidth point to latency: too few misses in flight, not too few bytes",)
    elif by_stalls is Family.CORE and roofline.family is Family.MEMORY:
        remarks = ("a high bandwidth with few memory stalls points to prefetching that hides the latency",)
    reasons = tuple(dict.fromkeys(reason for verdict in findings for reason in verdict.reasons))
    return Verdict(RULE, Outcome.DISAGREE, f"{Outcome.DISAGREE}: {said}", (), Confidence.LOW, reasons, remarks)


def _nothing(stalls: Verdict, roofline: Verdict, topdown: Verdict) -> Verdict:
    verdicts = (stalls, roofline, topdown)
    outcomes = {verdict.outcome for verdict in verdicts}
    outcome = Outcome.CANNOT_TELL
    if Outcome.RESOLUTION in outcomes:
        outcome = Outcome.RESOLUTION
    elif outcomes == {Outcome.NOT_MEASURED}:
        outcome = Outcome.NOT_MEASURED
    said = "; ".join(dict.fromkeys(f"{verdict.rule}: {verdict.text}" for verdict in verdicts))
    if outcome is Outcome.RESOLUTION or len({verdict.text for verdict in verdicts}) == 1:
        return Verdict(RULE, outcome, stalls.text)
    return Verdict(RULE, outcome, f"{outcome}: {said}")
