"""What a ratio is worth: usable at all, and how sure a verdict on it can be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from analysis.formula import NoEvidence, NotMeasured
from analysis.metrics import Ratio, possible
from analysis.verdicts.evidence import Context, Evidence
from analysis.verdicts.verdict import Check, Confidence, Outcome, Verdict

Problem = tuple[Outcome, str]


def problem(ratio: Ratio, context: Context, *, is_share: bool = True) -> Problem | None:
    """Why no verdict may rest on the ratio, None where one may."""
    limits = context.thresholds
    if isinstance(ratio.value, NotMeasured):
        return Outcome.NOT_MEASURED, str(ratio.value)
    if not isinstance(ratio.value, float):
        return Outcome.CANNOT_TELL, str(ratio.value)
    least = limits.running_together if ratio.together else limits.running_apart
    names = ", ".join(ratio.events)
    if ratio.running is not None and ratio.running < least:
        return Outcome.CANNOT_TELL, (
            f"multiplexed to uselessness: {names} counted {100 * ratio.running:.0f} % of the time, "
            f"at least {100 * least:.0f} % needed"
        )
    if not ratio.together and ratio.windows < limits.windows_apart:
        return Outcome.CANNOT_TELL, (
            f"{names} were counted at different moments, {ratio.windows:.0f} turns each at the least, "
            f"{limits.windows_apart:.0f} needed"
        )
    if is_share and is_impossible(ratio):
        return Outcome.CANNOT_TELL, str(possible(ratio).value)
    return None


def is_impossible(ratio: Ratio) -> bool:
    """Whether the ratio has a value and is a share that none can be."""
    return isinstance(possible(ratio).value, NoEvidence) and ratio.known


def first_problem(ratios: Iterable[Ratio], context: Context) -> Problem | None:
    return next((found for ratio in ratios if (found := problem(ratio, context))), None)


def stopped(rule: str, found: Problem, ratios: dict[str, Ratio], remarks: Sequence[str] = ()) -> Verdict:
    """The verdict of a rule that cannot conclude."""
    outcome, text = found
    shown = text if text.startswith(outcome) else f"{outcome}: {text}"
    return Verdict(rule, outcome, shown, ratios=ratios, remarks=tuple(remarks))


def blocked(rule: str, evidence: Evidence) -> Verdict | None:
    """The verdict where the evidence as a whole is none."""
    if not evidence.blocked:
        return None
    return stopped(rule, (Outcome.RESOLUTION if evidence.unresolved else Outcome.CANNOT_TELL, evidence.blocked), {})


def weigh(verdict: Verdict, evidence: Evidence, context: Context, used: Sequence[Ratio]) -> Verdict:
    """The verdict with its confidence and the reasons that lowered it. `used`: the ratios it rests on."""
    caps = [(evidence.cap, reason) for reason in evidence.reasons]
    caps += _multiplexing(used, context)
    caps += _samples(evidence, context)
    caps += _closeness(verdict.checks, context)
    caps += _waiting(evidence, context) if used else []
    caps += [(Confidence.LOW, ratio.doubt) for ratio in used if ratio.doubt]
    level = min([evidence.cap, *(cap for cap, _ in caps)])
    return replace(verdict, confidence=level, reasons=(*verdict.reasons, *dict.fromkeys(reason for _, reason in caps)))


def _multiplexing(used: Sequence[Ratio], context: Context) -> list[tuple[Confidence, str]]:
    limits = context.thresholds
    known = [ratio for ratio in used if ratio.running is not None]
    if not known:
        silent = [ratio for ratio in used if ratio.events]
        text = "the capture does not tell how long each event was counted"
        return [(Confidence.MEDIUM, text)] if silent and not context.tells_running else []
    apart = [ratio for ratio in known if not ratio.together]
    lowest = min(known, key=lambda ratio: ratio.running or 0.0)
    share = f"{100 * (lowest.running or 0.0):.0f} %"
    if apart:
        return [(Confidence.LOW, f"multiplexed: counts scaled up, the least counted {share} of the time")]
    if (lowest.running or 0.0) < limits.running_good:
        return [(Confidence.MEDIUM, f"multiplexed: the events were counted together, {share} of the time")]
    return []


def _samples(evidence: Evidence, context: Context) -> list[tuple[Confidence, str]]:
    n, least = len(evidence.steps), context.thresholds.steps_for_interval
    if n >= least:
        return []
    what = "no steps" if n == 0 else "1 step" if n == 1 else f"{n} steps"
    return [(Confidence.MEDIUM, f"{what}: no interval, which takes {least}")]


def error_interval(ratio: Ratio) -> tuple[float, float] | None:
    """Twice the standard error of repeated runs to either side, None where there is none."""
    if not math.isfinite(ratio.error):
        return None
    return ratio.number() - 2 * ratio.error, ratio.number() + 2 * ratio.error


def _waiting(evidence: Evidence, context: Context) -> list[tuple[Confidence, str]]:
    share = evidence.waits.in_calls if evidence.waits else math.nan
    if not share >= context.thresholds.waiting_matters:
        return []
    return [(Confidence.MEDIUM, f"threads waited {percent(share)} of the time, and the counts hold the waiting")]


def _closeness(checks: Sequence[Check], context: Context) -> list[tuple[Confidence, str]]:
    caps = []
    for check in checks:
        if check.is_crossed:
            caps.append((Confidence.LOW, f"the interval of {check.label} crosses the threshold"))
        elif math.isfinite(check.relative_margin) and abs(check.relative_margin) < context.thresholds.close_margin:
            level = Confidence.LOW if check.interval is None else Confidence.MEDIUM
            caps.append((level, f"{check.label} is close to the threshold"))
    return caps


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def compared(check: Check) -> str:
    """A check in words: the value, the threshold, and the margin between them."""
    relation = ("≥" if check.holds else "<") if check.at_least else ("≤" if check.holds else ">")
    if check.unit == "share":
        whole = float(f"{100 * check.threshold:.9g}").is_integer()
        limit = f"{100 * check.threshold:.0f} %" if whole else percent(check.threshold)
        margin = f"{100 * abs(check.margin):.1f} points"
        return f"{check.label} {percent(check.value)} {relation} {limit} (margin {margin})"
    unit = f" {check.unit}" if check.unit else ""
    limit, margin = f"{check.threshold:g}{unit}", f"{abs(check.margin):.3g}"
    return f"{check.label} {check.value:.3g}{unit} {relation} {limit} (margin {margin})"
