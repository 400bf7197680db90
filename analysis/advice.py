"""What to do next about a verdict, in one sentence: a table by outcome, and the command that counts what is missing."""

from __future__ import annotations

from analysis.cores import GENERIC, Core
from analysis.metrics import BY_KEY, metric, printed
from analysis.verdicts import Context, Evidence, Outcome, Verdict
from analysis.verdicts.counting import FEWER, PEAK, TRAFFIC, counted, how_to_count, how_to_settle, perf_stat
from analysis.verdicts.waiting_rule import Kind, is_idle, kind

_NEXT = {
    Outcome.MEMORY: "read fewer bytes a token: smaller weights, more tokens a pass (threads help up to the peak)",
    Outcome.COMPUTE: "faster arithmetic: kernels for this core (q4engine inspect --kernels), more cores",
    Outcome.CORE_UNCLEAR: "find the operation that stalls (--per-op); loads that hit the L2 look like this",
    Outcome.MIXED: "look at the operations apart (--per-op): some wait for memory, others for the core",
    Outcome.RETIRING: "nothing waits: only fewer instructions make it faster, such as wider kernels",
    Outcome.SPECULATION: "find the mispredicted branches (perf record -e branch-misses): straighter code there",
    Outcome.DISAGREE: "see which operations each rule speaks of (--per-op), and measure the read peak again",
    Outcome.RESOLUTION: "count in shorter intervals (perf stat -I 1), or by call with q4engine run --capture",
}
_WAITING = {
    Kind.START: "keep the threads awake and the calls larger: more tokens a call, fewer threads",
    Kind.STOLEN: "measure where the CPUs are ours alone (a whole machine, dedicated vCPUs)",
    Kind.DELAYED: "stop what else runs on these CPUs, or use fewer threads than CPUs",
    Kind.BEHIND: "pin threads to like cores (--cpu-mask), or leave the slow one out (fewer -t)",
    Kind.SWITCHES: "stop what else runs on these CPUs, or use fewer threads than CPUs",
    Kind.ASLEEP: "find what it waits for: files, locks, input (perf trace, strace -c)",
    Kind.BARRIERS: "fewer threads, or larger pieces of work between barriers",
}


_IDLE = "measure while the work runs, or that program alone: perf stat -- PROGRAM"
_MIX = ("DP_SPEC", "ASE_SPEC", "VFP_SPEC", "INST_SPEC")
_LESS_CODE = "less or straighter code"


def next_step(verdict: Verdict, evidence: Evidence, context: Context, no_counters: str = "") -> str:
    """The next step after the combined verdict, which never asks for what the capture has or the core lacks.

    no_counters: the capture's own reason why it has none.
    """
    outcome, have = verdict.outcome, counted(evidence.subject)
    if outcome in _NEXT:
        return _NEXT[outcome]
    if outcome is Outcome.WAITING:
        return _IDLE if is_idle(verdict) or evidence.waits is None else _WAITING[kind(evidence.waits, context)]
    if outcome is Outcome.COMPUTE_BY_STALLS:
        return _confirm_compute(context.core, have)
    if outcome is Outcome.FRONTEND:
        return _front_end(evidence, context.core, have)
    if outcome is Outcome.BACKEND:
        return how_to_settle(context.core, have)
    if outcome is Outcome.NOT_BACKEND:
        return f"count the front end's stalls as well: {how_to_count(context.core, have)}"
    if context.emulated:
        return "--assume GB/s,GOP/s projects times from the counts; a machine's own counters say what bounds it"
    if no_counters:
        return "q4engine doctor says how to get counters here"
    if "STALL_SLOT_BACKEND" in have and not (context.slots or context.core.slots) and context.core.is_arm:
        return "name the core with --core, or its issue slots a cycle with --slots: slots that stalled are counted"
    how = how_to_count(context.core, have)
    if not context.read_peak and any(event in have for event in (*TRAFFIC, "LL_CACHE_MISS_RD")):
        return f"{PEAK} makes a verdict of the refills, {how.split(';')[0]} one of the stalls" + _named(context.core)
    if outcome is Outcome.CANNOT_TELL:
        return how if how == FEWER else f"count again, together and for longer: {how}"
    return f"count what tells: {how}"


def _named(core: Core) -> str:
    return " (name the core with --core: not every core has them all)" if core.name == GENERIC else ""


def _confirm_compute(core: Core, have: frozenset[str]) -> str:
    mix = [event for event in _MIX if core.has(event) and event not in have]
    if not mix:
        return _NEXT[Outcome.COMPUTE]
    return f"count the instruction mix to confirm it ({perf_stat(core, mix)}), then as compute-bound"


def _front_end(evidence: Evidence, core: Core, have: frozenset[str]) -> str:
    """By what the capture tells of instruction misses and branches; else how to count them."""
    found = {key: metric(evidence.subject, key, core) for key in ("l1i_mpki", "branch_mpki")}
    told = [f"{BY_KEY[key].label} {ratio.number():.1f}" for key, ratio in found.items() if ratio.known]
    if told:
        return f"{' and '.join(told)}: {_LESS_CODE}"
    slots = {name: printed(evidence.subject, (name,)) for name in ("fetch_latency", "fetch_bandwidth")}
    split = [f"{name.replace('_', ' ')} {100 * ratio.number():.1f} %" for name, ratio in slots.items() if ratio]
    if split:
        return f"{' and '.join(split)} of slots: {_LESS_CODE}"
    if not core.is_arm:
        return f"perf stat --topdown --td-level 2 -- PROGRAM (fetch latency against bandwidth): {_LESS_CODE}"
    events = [("L1I_CACHE_REFILL", "r1"), ("BR_MIS_PRED", "r10"), ("INST_RETIRED", "r8")]
    codes = ",".join(code for event, code in events if event not in have and not core.lacks(event))
    named = f" (perf stat -e '{{{codes}}}' -- PROGRAM)" if codes else ""
    return f"look for instruction misses and mispredicted branches{named}: {_LESS_CODE}"
