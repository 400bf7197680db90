"""Rule 2, roofline: bytes that came from memory against the streaming-read peak measured on the same machine.

Bytes are refills of the last level times 64 (never BUS_ACCESS, which counts beats and snoops). No event is exactly
that on every core, so each estimate is exact, a lower or an upper bound, and only what bounds allow is concluded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.bootstrap import bootstrap
from analysis.cores import Core
from analysis.formula import NotMeasured, parse
from analysis.metrics import Ratio, Subject, measure, tokens_of
from analysis.phase import Step
from analysis.verdicts.evidence import Context, Evidence
from analysis.verdicts.verdict import Check, Confidence, Outcome, Verdict
from analysis.verdicts.weigh import blocked, compared, percent, problem, stopped, weigh

RULE = "roofline"
EXACT, LOWER, UPPER = "exact", "lower bound", "upper bound"
LABEL = "read bandwidth / measured peak"


@dataclass(frozen=True)
class Traffic:
    """An estimate of the bytes a second that came from memory. source: the event, or `model` for the weights."""

    source: str
    rate: Ratio
    bound: str

    @property
    def value(self) -> float:
        return self.rate.number()


def judge(evidence: Evidence, context: Context) -> Verdict:
    """Rule 2 on the evidence."""
    stopped_early = blocked(RULE, evidence)
    if stopped_early:
        return stopped_early
    if context.emulated:
        return stopped(RULE, (Outcome.NOT_MEASURED, "emulated counts: the emulator's time is not the machine's"), {})
    estimates, remarks = traffic(evidence, context)
    ratios = {estimate.source: estimate.rate for estimate in estimates}
    if not estimates:
        rates = [
            measure(evidence.subject, parse(f"{event} * LINE / SECONDS"), context.core)
            for event, _ in _events(context.core)
        ]
        rate = next((rate for rate in rates if not isinstance(rate.value, NotMeasured)), rates[0])
        found = problem(rate, context, is_share=False) or (Outcome.NOT_MEASURED, "no refills were counted")
        return stopped(RULE, found, {rate.events[0]: rate}, remarks)
    if not context.read_peak:
        shown = ", ".join(f"{estimate.value / 1e9:.2f} GB/s by {estimate.source}" for estimate in estimates)
        text = f"indicative only: {shown}, and no measured read peak to compare with"
        return stopped(RULE, (Outcome.CANNOT_TELL, text), ratios, remarks)
    if not context.whole_machine:
        text = "the counts are of one scope or PMU, and the peak is of the machine"
        return stopped(RULE, (Outcome.CANNOT_TELL, text), ratios, remarks)
    return _against_peak(evidence, context, estimates, ratios, remarks, context.read_peak)


def traffic(evidence: Evidence, context: Context) -> tuple[list[Traffic], list[str]]:
    """Every usable estimate, and remarks on those that are not what their name says."""
    subject, core = evidence.subject, context.core
    estimates: list[Traffic] = []
    for event, bound in _events(core):
        rate = measure(subject, parse(f"{event} * LINE / SECONDS"), core)
        if problem(rate, context, is_share=False) is None and (rate.number() > 0 or not core.errata_of(event)):
            estimates.append(Traffic(event, rate, bound))
    remarks = [erratum.text for estimate in estimates for erratum in core.errata_of(estimate.source)]
    expected = model_bytes_per_token(subject, evidence.steps, context)
    if expected:
        estimates, missed = _checked(estimates, expected, subject, context)
        remarks += missed
        if expected >= context.thresholds.model_exceeds_caches:
            estimates.append(Traffic("model", Ratio(expected * tokens_of(subject) / subject.duration_s), LOWER))
    return estimates, list(dict.fromkeys(remarks))


def _events(core: Core) -> list[tuple[str, str]]:
    """Refill events that lie next to memory, with what each is an estimate of."""
    misses_prefetch = any(erratum.effect == "under-counts" for erratum in core.errata_of("L3D_CACHE_REFILL"))
    last_level = LOWER if misses_prefetch else EXACT
    # without an L3 event, L2 refills may still be L3 hits, so they only bound the traffic from above
    return [("L3D_CACHE_REFILL", last_level), ("LL_CACHE_MISS_RD", last_level), ("L2D_CACHE_REFILL", UPPER)]


def model_bytes_per_token(subject: Subject, steps: Sequence[Step], context: Context) -> float | None:
    """Bytes that one token must read: weights and the KV cache so far. None unless every step evaluates one token."""
    if not context.model_bytes or not steps or any(step.n_eval != 1 for step in steps):
        return None
    if not subject.duration_s > 0 or tokens_of(subject) <= 0:
        return None
    return context.model_bytes + sum(map(context.kv_read, steps)) / len(steps)


def _checked(
    estimates: list[Traffic], expected: float, subject: Subject, context: Context
) -> tuple[list[Traffic], list[str]]:
    """Estimates against the bytes that each token must read: one far below is demoted to a lower bound."""
    kept, remarks = [], []
    for estimate in estimates:
        per_token = estimate.value * subject.duration_s / tokens_of(subject)
        share = per_token / expected
        counted = f"{estimate.source}: {per_token / 1e6:.1f} MB a token"
        text = f"{counted}, {100 * share:.0f} % of the model's {expected / 1e6:.1f} MB"
        misses = share < context.thresholds.refills_of_model
        remarks.append(f"{text}: the event misses traffic, or the weights stay in a cache" if misses else text)
        kept.append(Traffic(estimate.source, estimate.rate, LOWER) if misses else estimate)
    return kept, remarks


def _against_peak(
    evidence: Evidence,
    context: Context,
    estimates: list[Traffic],
    ratios: dict[str, Ratio],
    remarks: list[str],
    peak: float,
) -> Verdict:
    limits = context.thresholds
    exact = next((estimate for estimate in estimates if estimate.bound == EXACT), None)
    floor = exact or max((e for e in estimates if e.bound == LOWER), key=lambda e: e.value, default=None)
    ceiling = exact or min((e for e in estimates if e.bound == UPPER), key=lambda e: e.value, default=None)
    highest = max((e.value for e in (floor, ceiling) if e), default=0.0)
    if floor and floor.value > limits.roof_possible * peak:
        text = f"{floor.value / 1e9:.2f} GB/s by {floor.source} is above the measured peak of {peak / 1e9:.2f} GB/s"
        return stopped(RULE, (Outcome.CANNOT_TELL, text), ratios, remarks)
    if floor and floor.value >= limits.roof_memory * peak:
        check = _check(evidence, context, floor, limits.roof_memory, at_least=True)
        return _finding(evidence, context, Outcome.MEMORY, (check,), floor, ratios, remarks)
    if ceiling and ceiling.value <= limits.roof_compute * peak:
        check = _check(evidence, context, ceiling, limits.roof_compute, at_least=False)
        return _finding(evidence, context, Outcome.COMPUTE, (check,), ceiling, ratios, remarks)
    if floor and ceiling and floor.value > limits.roof_compute * peak and ceiling.value < limits.roof_memory * peak:
        low = _check(evidence, context, floor, limits.roof_compute, at_least=False)
        high = _check(evidence, context, ceiling, limits.roof_memory, at_least=True)
        return _finding(evidence, context, Outcome.MIXED, (low, high), floor, ratios, remarks)
    low_text = f"at least {100 * floor.value / peak:.0f} %" if floor else "at least 0 %"
    high_text = f"at most {100 * highest / peak:.0f} %" if ceiling else "no upper bound"
    text = f"{low_text} of the peak, {high_text}: the events only bound the traffic"
    return stopped(RULE, (Outcome.CANNOT_TELL, text), ratios, remarks)


def _check(evidence: Evidence, context: Context, estimate: Traffic, threshold: float, *, at_least: bool) -> Check:
    peak = context.read_peak or math.nan
    interval = None
    if estimate.source != "model":
        formula = parse(f"{estimate.source} * LINE / SECONDS")
        interval = bootstrap(evidence.steps, formula, least=context.thresholds.steps_for_interval)
    scaled = (interval[0] / peak, interval[1] / peak) if interval else None
    return Check("roof", LABEL, estimate.value / peak, threshold, at_least, "share", scaled)


def _finding(
    evidence: Evidence,
    context: Context,
    outcome: Outcome,
    checks: tuple[Check, ...],
    estimate: Traffic,
    ratios: dict[str, Ratio],
    remarks: list[str],
) -> Verdict:
    shown = f"{estimate.value / 1e9:.2f} of {(context.read_peak or math.nan) / 1e9:.2f} GB/s by {estimate.source}"
    bound = "" if estimate.bound == EXACT else f", a {estimate.bound}"
    text = f"{outcome}: {shown}{bound}; {'; '.join(compared(check) for check in checks)}"
    verdict = Verdict(RULE, outcome, text, checks, ratios=ratios, remarks=tuple(remarks))
    weighed = weigh(verdict, evidence, context, [estimate.rate])
    caps = []
    if estimate.source == "model":
        caps.append((Confidence.MEDIUM, "from the model's bytes, not from counters"))
    if not context.peak_is_measured:
        caps.append((Confidence.LOW, "the read peak was stated, not measured with the capture"))
    taken = evidence.waits.taken.most if evidence.waits else math.nan
    if outcome is not Outcome.MEMORY and taken >= context.thresholds.taken_matters:
        caps.append((Confidence.MEDIUM, f"others had the CPUs {percent(taken)} of the time, so rates are too low"))
    level = min([weighed.confidence, *(cap for cap, _ in caps)])
    return replace(weighed, confidence=level, reasons=(*weighed.reasons, *(reason for _, reason in caps)))
