"""Rule 1, stalls: how much of the time the back end waits, and how much of that waiting is for memory.

be = STALL_BACKEND / CPU_CYCLES, m = memory stalls / STALL_BACKEND, mc = memory stalls / CPU_CYCLES. STALL_BACKEND_MEM
counts only demand misses in the last-level core cache, so m is a lower bound: a high m proves memory, a low one alone
does not prove arithmetic, which is why the instruction mix is asked as well.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain

from analysis.bootstrap import Interval, bootstrap
from analysis.formula import parse
from analysis.metrics import BY_KEY, MEMORY_STALLS, Ratio, measure, metric, printed
from analysis.phase import IMPOSSIBLE
from analysis.verdicts.counting import TO_SETTLE, how_to_count, how_to_settle
from analysis.verdicts.counting import counted as counted_events
from analysis.verdicts.evidence import Context, Evidence
from analysis.verdicts.verdict import Check, Confidence, Outcome, Verdict
from analysis.verdicts.weigh import blocked, compared, error_interval, first_problem, percent, problem, stopped, weigh

RULE = "stalls"
_X86 = "what these events count differs from one x86 core to another"
MIX_FORMULA = "(ASE_SPEC + VFP_SPEC + DP_SPEC) / INST_SPEC"


def judge(evidence: Evidence, context: Context) -> Verdict:
    """Rule 1 on the evidence. On x86 it has little weight, and none beside slots."""
    found = _judge(evidence, context)
    if context.core.is_arm or not found.is_finding:
        return found
    slots = printed(evidence.subject, ("backend_bound",))
    if slots is not None and problem(slots, context) is None:
        return replace(found, text=f"{found.text}; the slots decide, for {_X86}", deferred=True)
    return replace(found, confidence=min(found.confidence, Confidence.LOW), reasons=(*found.reasons, _X86))


def _judge(evidence: Evidence, context: Context) -> Verdict:
    stopped_early = blocked(RULE, evidence)
    if stopped_early:
        return stopped_early
    ratios = measured(evidence, context)
    found = problem(ratios["be"], context)
    if found and found[0] is Outcome.NOT_MEASURED:
        return _memory_alone(evidence, context, ratios, found[1])
    if found:
        return stopped(RULE, found, ratios)
    limits = context.thresholds
    backend = _check(evidence, context, "be", ratios["be"], limits.backend, at_least=True)
    denied = _denied(evidence)
    leading = _front_end_leads(evidence, context, ratios, backend) if backend.holds else None
    if denied and (leading or not backend.holds):
        return stopped(RULE, (Outcome.CANNOT_TELL, f"{denied}, so the back end stalls more than it says"), ratios)
    if not backend.holds:
        return _not_backend(evidence, context, ratios, backend)
    if leading:
        return leading
    found = first_problem((ratios["m"], ratios["mc"]), context)
    if found:
        return _memory_or_core(evidence, context, ratios, backend, found[1])
    share = _check(evidence, context, "m", ratios["m"], limits.memory_of_backend, at_least=True)
    cycles = _check(evidence, context, "mc", ratios["mc"], limits.memory_of_cycles, at_least=True)
    core = replace(share, threshold=limits.core_of_backend, at_least=False)
    used = [ratios["be"], ratios["m"], ratios["mc"]]
    if share.holds and cycles.holds:
        return _finding(evidence, context, Outcome.MEMORY, (backend, cycles, share), ratios, used)
    if core.holds:
        outcome, mix_checks, mix_used = by_mix(evidence, context, ratios)
        return _finding(evidence, context, outcome, (backend, *mix_checks, core), ratios, used + mix_used)
    checks = (backend, core, share) if not share.holds else (backend, share, cycles)
    return _finding(evidence, context, Outcome.MIXED, checks, ratios, used)


def _memory_alone(evidence: Evidence, context: Context, ratios: dict[str, Ratio], why: str) -> Verdict:
    """What memory stalls say without the back-end stalls that hold them: the back end stalls at least as much.

    And since it stalls in no more than all cycles, memory has at least the same share of it. why: what lacks.
    """
    limits, memory, front = context.thresholds, ratios["mc"], ratios["fe"]
    if problem(memory, context):
        return stopped(RULE, (Outcome.NOT_MEASURED, why), ratios)
    said = f"memory stalls alone are {percent(memory.number())} of cycles, so the back end stalls at least as much"
    share = _check(evidence, context, "mc", memory, limits.memory_of_backend, at_least=True)
    backend = replace(share, threshold=limits.backend)
    may_lead = problem(front, context) is None and front.number() >= max(limits.frontend, memory.number())
    if may_lead or not backend.holds:
        beside = f", and the front end {percent(front.number())}" if may_lead else ""
        return stopped(RULE, (Outcome.NOT_MEASURED, f"{why}; {said}{beside}"), ratios)
    is_memory = share.holds and memory.events[:1] == MEMORY_STALLS[:1]
    check = share if is_memory else backend
    verdict = _finding(evidence, context, Outcome.MEMORY if is_memory else Outcome.BACKEND, (check,), ratios, [memory])
    level = min(verdict.confidence, Confidence.MEDIUM if is_memory else Confidence.LOW)
    settle = TO_SETTLE + how_to_count(context.core, counted_events(evidence.subject))
    remarks = verdict.remarks if is_memory else (*verdict.remarks, settle)
    return replace(verdict, confidence=level, reasons=(*verdict.reasons, f"{why}: {said}"), remarks=remarks)


def _denied(evidence: Evidence) -> str:
    """That more memory stalls were counted than back-end stalls, which hold them; '' where not.

    One of the two counts is wrong. Either way the back end stalls at least as much as STALL_BACKEND says, so what
    follows from a high share of it stands, and nothing follows from a low one.
    """
    counts = evidence.subject.counts
    backend = counts.get("STALL_BACKEND")
    for event in ("STALL_BACKEND_MEM", "STALL_BACKEND_MEMBOUND"):
        memory = counts.get(event)
        if memory is None or backend is None or memory.status != IMPOSSIBLE:
            continue
        if (memory.measured or 0.0) > (backend.measured or math.inf):
            return memory.why
    return ""


def measured(evidence: Evidence, context: Context) -> dict[str, Ratio]:
    """The ratios that the rule reads, each measured or with the reason why not."""
    subject, core = evidence.subject, context.core
    ratios = {key: metric(subject, key, core) for key in ("be", "fe", "ipc", "l2d_mpki")}
    ratios["mix"] = measure(subject, parse(MIX_FORMULA), core)
    # of none, report the absence of the event that the rule would rather have
    shares = ((events, measure(subject, parse(f"{events} / STALL_BACKEND"), core)) for events in MEMORY_STALLS)
    preferred = next(shares)
    events, ratios["m"] = next((pair for pair in chain([preferred], shares) if pair[1].known), preferred)
    of_cycles = parse(f"{events} / CPU_CYCLES")
    ratios["mc"] = measure(subject, of_cycles, core) if ratios["m"].known else metric(subject, "mc", core)
    return ratios


def by_mix(
    evidence: Evidence, context: Context, ratios: dict[str, Ratio]
) -> tuple[Outcome, tuple[Check, ...], list[Ratio]]:
    """Which core-bound outcome the instruction mix and the L2 refills allow, the checks and the ratios used."""
    limits = context.thresholds
    checks, used = [], []
    if problem(ratios["mix"], context) is None:
        interval = _interval(evidence, context, MIX_FORMULA)
        interval = interval or error_interval(ratios["mix"])
        value = ratios["mix"].number()
        checks.append(Check("mix", "ASE+VFP+DP instructions", value, limits.compute_mix, True, "share", interval))
        used.append(ratios["mix"])
    if problem(ratios["l2d_mpki"], context, is_share=False) is None:
        value, spread = ratios["l2d_mpki"].number(), error_interval(ratios["l2d_mpki"])
        checks.append(Check("l2d_mpki", "L2 refills / 1000 instructions", value, limits.few_l2_mpki, False, "", spread))
        used.append(ratios["l2d_mpki"])
    if not checks:
        return Outcome.COMPUTE_BY_STALLS, (), []
    supporting = tuple(check for check in checks if check.holds)
    if supporting:
        return Outcome.COMPUTE, supporting, used
    return Outcome.CORE_UNCLEAR, tuple(checks), used


def _not_backend(evidence: Evidence, context: Context, ratios: dict[str, Ratio], backend: Check) -> Verdict:
    used = [ratios["be"]]
    if problem(ratios["fe"], context):
        return _finding(evidence, context, Outcome.NOT_BACKEND, (backend,), ratios, used)
    frontend = _check(evidence, context, "fe", ratios["fe"], context.thresholds.frontend, at_least=True)
    outcome = Outcome.FRONTEND if frontend.holds else Outcome.RETIRING
    return _finding(evidence, context, outcome, (backend, frontend), ratios, [*used, ratios["fe"]])


def _front_end_leads(evidence: Evidence, context: Context, ratios: dict[str, Ratio], backend: Check) -> Verdict | None:
    """The verdict where both ends stall and the front end stalls more; None where it does not, or was not counted."""
    front = ratios["fe"]
    if problem(front, context) or front.number() < context.thresholds.frontend or front.number() <= backend.value:
        return None
    frontend = _check(evidence, context, "fe", front, context.thresholds.frontend, at_least=True)
    more = Check("lead", "front-end stalls against the back end's", front.number(), backend.value, True)
    return _finding(evidence, context, Outcome.FRONTEND, (frontend, more), ratios, [ratios["be"], front])


def _memory_or_core(
    evidence: Evidence, context: Context, ratios: dict[str, Ratio], backend: Check, why: str
) -> Verdict:
    """The back end stalls, and nothing that was counted says for what."""
    verdict = _finding(evidence, context, Outcome.BACKEND, (backend,), ratios, [ratios["be"]])
    settle = how_to_settle(context.core, counted_events(evidence.subject))
    if denied := _denied(evidence):
        level = min(verdict.confidence, Confidence.LOW)
        verdict = replace(verdict, confidence=level, reasons=(*verdict.reasons, denied))
    return replace(verdict, text=f"{verdict.text}; {why}", remarks=(*verdict.remarks, TO_SETTLE + settle))


def _check(evidence: Evidence, context: Context, key: str, ratio: Ratio, threshold: float, *, at_least: bool) -> Check:
    interval = _interval(evidence, context, " / ".join(ratio.events)) if len(ratio.events) == 2 else None
    interval = interval or error_interval(ratio)
    return Check(key, BY_KEY[key].label, ratio.number(), threshold, at_least, "share", interval)


def _interval(evidence: Evidence, context: Context, formula: str) -> Interval | None:
    return bootstrap(evidence.steps, parse(formula), least=context.thresholds.steps_for_interval)


def _finding(
    evidence: Evidence,
    context: Context,
    outcome: Outcome,
    checks: tuple[Check, ...],
    ratios: dict[str, Ratio],
    used: list[Ratio],
) -> Verdict:
    text = f"{outcome}: {'; '.join(compared(check) for check in reversed(checks))}"
    verdict = Verdict(RULE, outcome, text, checks, ratios=ratios, remarks=tuple(_remarks(ratios, outcome)))
    return weigh(verdict, evidence, context, used)


def _remarks(ratios: dict[str, Ratio], outcome: Outcome) -> list[str]:
    remarks = list(dict.fromkeys(ratio.remark for ratio in ratios.values() if ratio.remark))
    counted = [event for event in ratios["m"].events if event != "STALL_BACKEND"]
    if ratios["m"].known and counted != ["STALL_BACKEND_MEM"]:
        remarks.append(f"memory stalls are {' + '.join(counted)}, which includes L1 misses that hit the L2")
    if ratios["fe"].known and ratios["fe"].number() > ratios["be"].number() and outcome is not Outcome.FRONTEND:
        remarks.append("the front end stalls more often than the back end")
    if outcome is Outcome.RETIRING and ratios["ipc"].known:
        remarks.append(f"the core is busy: IPC {ratios['ipc'].number():.2f}")
    if outcome is Outcome.COMPUTE_BY_STALLS:
        remarks.append("neither the instruction mix nor the L2 refills were measured")
    return remarks
