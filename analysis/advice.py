"""What to do next about a verdict, in one sentence: a table by outcome, and the command that counts what is missing."""

from __future__ import annotations

from analysis.verdicts import Context, Evidence, Outcome, Verdict
from analysis.verdicts.counting import how_to_count, how_to_settle
from analysis.verdicts.waiting_rule import Kind, kind

_NEXT = {
    Outcome.MEMORY: "read fewer bytes a token: smaller weights, more tokens a pass (threads help up to the peak)",
    Outcome.COMPUTE: "faster arithmetic: kernels for this core (q4engine inspect --kernels), more cores",
    Outcome.COMPUTE_BY_STALLS: "count the instruction mix to confirm it (r73, r74, r75, r1b), then as compute-bound",
    Outcome.CORE_UNCLEAR: "find the operation that stalls (--per-op); loads that hit the L2 look like this",
    Outcome.MIXED: "look at the operations apart (--per-op): some wait for memory, others for the core",
    Outcome.FRONTEND: "look for instruction misses and mispredicted branches (r1, r10): less or straighter code",
    Outcome.RETIRING: "nothing waits: only fewer instructions make it faster, such as wider kernels",
    Outcome.SPECULATION: "find the mispredicted branches (r10, perf record -e r10)",
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


def next_step(verdict: Verdict, evidence: Evidence, context: Context, no_counters: str = "") -> str:
    """The next step after the combined verdict. no_counters: the capture's own reason why it has none."""
    outcome = verdict.outcome
    if outcome in _NEXT:
        return _NEXT[outcome]
    if outcome is Outcome.WAITING and evidence.waits is not None:
        return _WAITING[kind(evidence.waits, context)]
    if outcome is Outcome.BACKEND:
        return how_to_settle(context.core)
    if outcome is Outcome.NOT_BACKEND:
        return f"count the front end's stalls as well: {how_to_count(context.core)}"
    if context.emulated:
        return "--assume GB/s,GOP/s projects times from the counts; a machine's own counters say what bounds it"
    if no_counters:
        return "q4engine doctor says how to get counters here"
    if outcome is Outcome.CANNOT_TELL:
        return f"count again, together and for longer: {how_to_count(context.core)}"
    return f"count what tells: {how_to_count(context.core)}"
