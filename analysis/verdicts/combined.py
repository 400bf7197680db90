"""The three rules together: one finding where they agree, all of them where they do not, the reasons where none is."""

from __future__ import annotations

from analysis.verdicts.verdict import Confidence, Family, Outcome, Verdict

RULE = "combined"
# A low bandwidth only says that bandwidth is not the limit, which each of these agrees with.
_NOT_BANDWIDTH = (Family.CORE, Family.FRONTEND, Family.SPECULATION, Family.NOT_BACKEND)
_NOT_BACKEND = (Family.CORE, Family.FRONTEND, Family.SPECULATION)


def combine(stalls: Verdict, roofline: Verdict, topdown: Verdict) -> Verdict:
    """The combined verdict. Rule 1 leads, since its events are the most direct; top-down next, bandwidth last."""
    findings = [verdict for verdict in (stalls, topdown, roofline) if verdict.is_finding and not verdict.deferred]
    if not findings:
        return _nothing(stalls, roofline, topdown)
    lead = findings[0]
    if not all(_agree(lead, other, roofline) for other in findings[1:]):
        return _disagreement(findings, roofline)
    outcome, text = lead.outcome, lead.text
    specific = next((verdict for verdict in findings if verdict.family is not Family.NOT_BACKEND), lead)
    if lead.family is Family.NOT_BACKEND and specific is not roofline:
        outcome, text = specific.outcome, specific.text
    if outcome is Outcome.COMPUTE_BY_STALLS and any(verdict.outcome is Outcome.COMPUTE for verdict in findings[1:]):
        outcome, text = Outcome.COMPUTE, text.replace(Outcome.COMPUTE_BY_STALLS, Outcome.COMPUTE, 1)
    confidence = max(verdict.confidence for verdict in findings)
    reasons = tuple(dict.fromkeys(reason for verdict in findings for reason in verdict.reasons))
    if len(findings) == 1:
        reasons = (f"only the {lead.rule} rule had something to say", *reasons)
        confidence = min(confidence, Confidence.MEDIUM)
    remarks = tuple(dict.fromkeys(remark for verdict in findings for remark in verdict.remarks))
    return Verdict(RULE, outcome, text, lead.checks, confidence, reasons, remarks)


def _agree(lead: Verdict, other: Verdict, roofline: Verdict) -> bool:
    families = {lead.family, other.family}
    if len(families) == 1:
        return True
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
