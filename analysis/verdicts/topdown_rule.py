"""Rule 3, top-down: the share of issue slots that each class takes, then memory against core inside the back end."""

from __future__ import annotations

from dataclasses import replace

from analysis.formula import NoEvidence
from analysis.metrics import Ratio, Subject, core_formula, possible, printed
from analysis.verdicts.counting import TO_SETTLE, counted, how_to_settle
from analysis.verdicts.evidence import Context, Evidence
from analysis.verdicts.stall_rule import by_mix, measured
from analysis.verdicts.verdict import Check, Family, Outcome, Verdict
from analysis.verdicts.weigh import blocked, compared, percent, problem, stopped, weigh

RULE = "top-down"
# Names of the core files' formulas, and what Arm's topdown-tool calls the same percentages.
CLASSES = {
    "backend_bound": ("backend_bound", "Backend Bound"),
    "frontend_bound": ("frontend_bound", "Frontend Bound"),
    "retiring": ("retiring", "Retiring"),
    "bad_speculation": ("bad_speculation", "Bad Speculation"),
}
LEVEL_2 = {
    "backend_mem_bound": ("backend_mem_bound", "Backend Memory Bound"),
    "backend_core_bound": ("backend_core_bound", "Backend Core Bound"),
}
PARTS = {
    "backend_bound": ("memory_bound", "core_bound"),
    "frontend_bound": ("fetch_latency", "fetch_bandwidth"),
    "bad_speculation": ("branch_mispredicts", "machine_clears"),
    "retiring": ("light_operations", "heavy_operations"),
}
"""What x86's tools divide each class into on their second level, as shares of slots."""
_PARTS_APART = 0.10
_OUTCOMES = {
    "frontend_bound": Outcome.FRONTEND,
    "retiring": Outcome.RETIRING,
    "bad_speculation": Outcome.SPECULATION,
}


def judge(evidence: Evidence, context: Context, stalls: Verdict) -> Verdict:
    """Rule 3 on the evidence; `stalls` is rule 1's verdict on it, asked where the core has no level 2."""
    stopped_early = blocked(RULE, evidence)
    if stopped_early:
        return stopped_early
    ratios = {
        name: core_formula(evidence.subject, name, context.core, context.slots, titles)
        for name, titles in (CLASSES | LEVEL_2).items()
    }
    _by_printed_parts(evidence.subject, ratios)
    found = problem(ratios["backend_bound"], context)
    if found:
        return stopped(RULE, found, ratios)
    limits = context.thresholds
    backend = Check("backend_bound", "back-end slots", ratios["backend_bound"].number(), limits.slots_backend, True)
    lost = [
        ratios[name].number() for name in ("frontend_bound", "bad_speculation") if not problem(ratios[name], context)
    ]
    if not backend.holds or any(share > backend.value for share in lost):
        return _dominant(evidence, context, ratios, backend)
    if problem(ratios["backend_mem_bound"], context) is None:
        return _level_2(evidence, context, ratios, backend)
    return _defer(evidence, context, ratios, backend, stalls)


def _by_printed_parts(subject: Subject, ratios: dict[str, Ratio]) -> None:
    """Fills in what is not known of the classes and of memory against core from x86's second level, shares of slots."""
    parts = {name: [printed(subject, (part,)) for part in PARTS[name]] for name in PARTS}
    for name, found in parts.items():
        if not ratios[name].known and all(part is not None and part.known for part in found):
            ratios[name] = _sum_of([part for part in found if part is not None])
    memory, core = parts["backend_bound"]
    backend = ratios["backend_bound"]
    if memory is None or not memory.known or not backend.known or ratios["backend_mem_bound"].known:
        return
    if backend.number() <= 0:
        return
    shares = {"backend_mem_bound": memory, "backend_core_bound": core}
    if core is not None and core.known and abs(memory.number() + core.number() - backend.number()) > _PARTS_APART:
        text = (
            f"memory and core bound sum to {percent(memory.number() + core.number())} of slots, not to the back end's"
        )
        why = NoEvidence(f"{text} {percent(backend.number())}")
        ratios["backend_mem_bound"] = Ratio(why, memory.events)
        return
    for name, part in shares.items():
        if part is not None and part.known:
            ratios[name] = possible(replace(part, value=part.number() / backend.number()))


def _sum_of(parts: list[Ratio]) -> Ratio:
    whole = replace(parts[0], value=sum(part.number() for part in parts))
    events = tuple(event for part in parts for event in part.events)
    return possible(replace(whole, events=events, doubt=next((part.doubt for part in parts if part.doubt), "")))


def _dominant(evidence: Evidence, context: Context, ratios: dict[str, Ratio], backend: Check) -> Verdict:
    """The class that takes most slots, where the classes that were not measured could not take more."""
    shares = {name: ratios[name] for name in _OUTCOMES if problem(ratios[name], context) is None}
    used = [ratios["backend_bound"], *shares.values()]
    if backend.holds:  # something is lost to more than the back end, and what retires is no loss
        shares.pop("retiring", None)
    outcome, text = Outcome.NOT_BACKEND, ""
    if shares:
        name, ratio = max(shares.items(), key=lambda item: item[1].number())
        rest = 1.0 - backend.value - sum(share.number() for share in shares.values())
        if len(shares) == len(_OUTCOMES) or ratio.number() > rest or backend.holds:
            outcome = _OUTCOMES[name]
            text = f"{name.replace('_', ' ')} takes {percent(ratio.number())} of slots; "
    verdict = Verdict(
        RULE, outcome, f"{outcome}: {text}{compared(backend)}", (backend,), ratios=ratios, remarks=_left_out(ratios)
    )
    return weigh(verdict, evidence, context, used)


def _left_out(ratios: dict[str, Ratio]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ratio.remark for ratio in ratios.values() if ratio.remark))


def _level_2(evidence: Evidence, context: Context, ratios: dict[str, Ratio], backend: Check) -> Verdict:
    limits = context.thresholds
    memory = ratios["backend_mem_bound"]
    is_measured = problem(ratios["backend_core_bound"], context) is None
    core = ratios["backend_core_bound"].number() if is_measured else 1.0 - memory.number()
    remarks = [*_left_out(ratios)] if is_measured else ["the core's share was not measured and is taken as the rest"]
    lead = memory.number() - core
    used = [ratios["backend_bound"], memory]
    shares = f"memory {percent(memory.number())}, core {percent(core)} of back-end stalls"
    checks: tuple[Check, ...] = (backend,)
    if lead >= limits.level2_lead:
        outcome = Outcome.MEMORY
        checks += (Check("level2", "memory's lead over core", lead, limits.level2_lead, True),)
    elif -lead >= limits.level2_lead:
        outcome, mix_checks, mix_used = by_mix(evidence, context, measured(evidence, context))
        checks += (*mix_checks, Check("level2", "core's lead over memory", -lead, limits.level2_lead, True))
        used += mix_used
    else:
        outcome = Outcome.MIXED
        checks += (Check("level2", "the larger share's lead", abs(lead), limits.level2_lead, True),)
    text = f"{outcome}: {shares}; {'; '.join(compared(check) for check in reversed(checks))}"
    verdict = Verdict(RULE, outcome, text, checks, ratios=ratios, remarks=tuple(remarks))
    return weigh(verdict, evidence, context, used)


def _defer(evidence: Evidence, context: Context, ratios: dict[str, Ratio], backend: Check, stalls: Verdict) -> Verdict:
    """Back-end bound, and no level 2: whether memory or core, rule 1 has to say."""
    said = compared(backend)
    if stalls.family in (Family.MEMORY, Family.CORE, Family.MIXED) and stalls.outcome is not Outcome.RETIRING:
        text = f"{stalls.outcome}: {said}; memory or core as the stall rule says"
        verdict = Verdict(
            RULE, stalls.outcome, text, (backend,), ratios=ratios, deferred=True, remarks=_left_out(ratios)
        )
        return weigh(verdict, evidence, context, [ratios["backend_bound"]])
    if stalls.is_finding and not stalls.deferred and stalls.family is not Family.BACKEND:
        text = f"{Outcome.BACKEND}: {said}; the stall rule finds few cycles that are lost whole"
        return stopped(RULE, (Outcome.CANNOT_TELL, text), ratios)
    remarks = (*_left_out(ratios), TO_SETTLE + how_to_settle(context.core, counted(evidence.subject)))
    text = f"{Outcome.BACKEND}: {said}; the stall rule cannot say which"
    verdict = Verdict(RULE, Outcome.BACKEND, text, (backend,), ratios=ratios, remarks=remarks)
    return weigh(verdict, evidence, context, [ratios["backend_bound"]])
