"""Rule 4, waiting: the share of the threads' time in which they did not work, and for what they waited.

Times alone decide, so it speaks where no counter exists. Counters of a thread that spins at a barrier count the
spinning: from `waiting_leads` on no other rule says what bounds the work.
"""

from __future__ import annotations

import math

from analysis.calls import WAITING
from analysis.verdicts.evidence import Context, Evidence
from analysis.verdicts.verdict import Check, Outcome, Verdict
from analysis.verdicts.weigh import blocked, compared, percent, stopped, weigh
from analysis.waits import Waits

RULE = "waiting"
LABEL = "waiting / threads' time"
OFF_CPU = "time without a CPU"


def judge(evidence: Evidence, context: Context) -> Verdict:
    """Rule 4 on the evidence."""
    if context.emulated:
        return stopped(RULE, (Outcome.NOT_MEASURED, "an emulator's threads wait for the emulator"), {})
    stopped_early = blocked(RULE, evidence)
    if stopped_early and not evidence.unresolved:
        return stopped_early
    waits = evidence.waits
    if waits is None:
        return stopped(RULE, (Outcome.NOT_MEASURED, "neither operations nor CPU time were timed"), {})
    limits = context.thresholds
    share = waits.in_calls
    if share >= limits.waiting_leads:
        check = Check("waiting", LABEL, share, limits.waiting_leads, True)
    elif waits.off_cpu >= limits.waiting_off_cpu:
        check = Check("off_cpu", OFF_CPU, waits.off_cpu, limits.waiting_off_cpu, True)
    else:
        known = share if math.isfinite(share) else waits.off_cpu
        return stopped(RULE, (Outcome.NOT_WAITING, f"{percent(known)} of the threads' time"), {})
    text = f"{Outcome.WAITING}: {compared(check)}; {cause(waits, context)}"
    return weigh(Verdict(RULE, Outcome.WAITING, text, (check,)), evidence, context, [])


def cause(waits: Waits, context: Context) -> str:
    """For what the threads wait most, in one sentence."""
    kinds = [f"{percent(share)} {WAITING[kind]}" for kind, share in waits.by_kind.items() if share >= 0.01]
    shown = f" ({', '.join(kinds)})" if kinds else ""
    start = waits.by_kind.get("begin", 0.0) + waits.by_kind.get("end", 0.0)
    if start > waits.by_kind.get("barrier", 0.0):
        return f"threads start late and end early: the work lies outside of the operations{shown}"
    if waits.behind is not None:
        return f"thread {waits.behind} is behind and the others wait for it{shown}"
    if waits.switches >= context.thresholds.switches_per_call:
        return f"other programs take the CPUs: {waits.switches:.1f} context switches a call{shown}"
    if not waits.by_kind:
        return "the program sleeps or waits for its turn, for files or for input"
    return f"threads wait for each other at barriers{shown}"
