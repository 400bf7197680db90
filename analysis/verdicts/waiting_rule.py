"""Rule 4, waiting: the share of the threads' time in which they did not work, and for what they waited.

Times alone decide, so it speaks where no counter exists. Counters of a thread that spins at a barrier count the
spinning: from `waiting_leads` on no other rule says what bounds the work.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import StrEnum

from analysis.calls import BARRIER, WAITING
from analysis.metrics import Subject
from analysis.phase import OK
from analysis.verdicts.evidence import Context, Evidence
from analysis.verdicts.verdict import Check, Confidence, Outcome, Verdict
from analysis.verdicts.weigh import blocked, compared, percent, stopped, weigh
from analysis.waits import Waits, cpu_seconds

RULE = "waiting"
LABEL = "waiting / threads' time"
OFF_CPU = "time without a CPU"
STOLEN, DELAYED = "time stolen by the hypervisor", "time ready without a CPU"


def judge(evidence: Evidence, context: Context) -> Verdict:
    """Rule 4 on the evidence."""
    if context.emulated:
        return stopped(RULE, (Outcome.NOT_MEASURED, "an emulator's threads wait for the emulator"), {})
    stopped_early = blocked(RULE, evidence)
    if stopped_early and not evidence.unresolved:
        return stopped_early
    idle = _idle(evidence.subject, context)
    if idle is not None:
        text = f"{Outcome.WAITING}: the CPUs are idle: {compared(idle)}; what little ran says nothing of any work"
        return weigh(Verdict(RULE, Outcome.WAITING, text, (idle,)), evidence, context, [])
    waits = evidence.waits
    if waits is None:
        return stopped(RULE, (Outcome.NOT_MEASURED, "neither operations nor CPU time were timed"), {})
    limits = context.thresholds
    share = waits.in_calls
    if share >= limits.waiting_leads:
        check = Check("waiting", LABEL, share, limits.waiting_leads, True)
    elif waits.off_cpu >= limits.waiting_off_cpu:
        check = Check("off_cpu", OFF_CPU, waits.off_cpu, limits.waiting_off_cpu, True)
    elif waits.taken.most >= limits.waiting_leads:
        label = STOLEN if waits.taken.most == waits.taken.stolen else DELAYED
        check = Check("taken", label, waits.taken.most, limits.waiting_leads, True)
    else:
        known = next((part for part in (share, waits.off_cpu) if math.isfinite(part)), None)
        others = _others(waits, context)
        if known is None:
            return stopped(RULE, (Outcome.NOT_MEASURED, f"neither operations nor CPU time were timed{others}"), {})
        return stopped(RULE, (Outcome.NOT_WAITING, f"{percent(known)} of the threads' time{others}"), {})
    text = f"{Outcome.WAITING}: {compared(check)}; {cause(waits, context)}"
    found = weigh(Verdict(RULE, Outcome.WAITING, text, (check,)), evidence, context, [])
    if check.key != "taken" or waits.taken.of_phase:
        return found
    reason = "what others took is known of the whole run, not of this phase"
    return replace(found, confidence=min(found.confidence, Confidence.MEDIUM), reasons=(*found.reasons, reason))


def _others(waits: Waits, context: Context) -> str:
    """What others took of the CPUs, where it is worth a word, behind a sentence that does not tell."""
    taken, least = waits.taken, context.thresholds.taken_matters
    parts = [f"the hypervisor took {percent(taken.stolen)} of the CPUs' time"] if taken.stolen >= least else []
    parts += [f"threads were ready without a CPU {percent(taken.delayed)} of it"] if taken.delayed >= least else []
    where = "" if taken.of_phase else " in the whole run"
    return f"; {' and '.join(parts)}{where}" if parts else ""


_LEAST_CLOCK_S = 0.1
_MOST_CPUS = 256.0
"""Taken for the number of CPUs where it is not told: the mean is then the less likely to be called idle."""


def is_idle(verdict: Verdict) -> bool:
    """Whether a waiting verdict says that the machine did nothing at all."""
    return any(check.key == "idle" for check in verdict.checks)


def _idle(subject: Subject, context: Context) -> Check | None:
    """The check that the CPUs hardly ticked, None where they did or nothing tells.

    A CPU ticks only where it is not idle, and no clock is as slow as this: on the mean of the CPUs, with not one of
    them busy in all. Of a program alone the clock's own time stands still as well, so its cycles never look like this.
    """
    cycles, seconds, limits = subject.counts.get("CPU_CYCLES"), subject.duration_s, context.thresholds
    if cycles is None or cycles.status != OK or cycles.level or not cycles.value > 0:
        return None
    clocks = (cpu_seconds(subject.counts, name) for name in ("task-clock", "cpu-clock"))
    clock = next((of_all for of_all in clocks if of_all > _LEAST_CLOCK_S), math.nan)
    cpus = clock / seconds if seconds > 0 and clock > 0 else float(context.system_wide * max(1, context.n_cpus))
    if not cpus >= 0.5:
        cpus = _MOST_CPUS if clock > 0 and not seconds > 0 else math.nan
    mean = cycles.value / (clock if clock > 0 else seconds * cpus) / 1e9
    if not (mean <= limits.idle_ghz and mean * cpus <= limits.one_busy_ghz):
        return None
    return Check("idle", "cycles of each CPU a second", mean, limits.idle_ghz, False, "GHz")


class Kind(StrEnum):
    """For what the threads wait."""

    START = "start"
    STOLEN = "stolen"
    DELAYED = "delayed"
    BEHIND = "behind"
    SWITCHES = "switches"
    ASLEEP = "asleep"
    BARRIERS = "barriers"


def kind(waits: Waits, context: Context) -> Kind:
    """For what the threads wait most."""
    limits, taken = context.thresholds, waits.taken
    at_ends = waits.by_kind.get("begin", 0.0) + waits.by_kind.get("end", 0.0)
    # A thread without a CPU begins late as well: where others took more than all waiting shows, they are the cause.
    if at_ends > waits.by_kind.get(BARRIER, 0.0) and not taken.most > waits.in_calls:
        return Kind.START
    # As long as a thread has lost its CPU the others wait for it: that may explain this much of the waiting.
    explained = taken.most * max(1, waits.n_threads - 1)
    if taken.most >= limits.taken_matters and not explained < 0.5 * waits.in_calls:
        return Kind.STOLEN if taken.most == taken.stolen else Kind.DELAYED
    if waits.behind is not None:
        return Kind.BEHIND
    if waits.switches >= limits.switches_per_call:
        return Kind.SWITCHES
    return Kind.BARRIERS if waits.by_kind else Kind.ASLEEP


def cause(waits: Waits, context: Context) -> str:
    """For what the threads wait most, in one sentence."""
    kinds = [f"{percent(share)} {WAITING[name]}" for name, share in waits.by_kind.items() if share >= 0.01]
    shown = f" ({', '.join(kinds)})" if kinds else ""
    match kind(waits, context):
        case Kind.START:
            return f"threads start late and end early: the work lies outside of the operations{shown}"
        case Kind.STOLEN:
            return f"the hypervisor runs others: it took {percent(waits.taken.stolen)} of the CPUs' time{shown}"
        case Kind.DELAYED:
            return f"other programs take the CPUs: threads were ready {percent(waits.taken.delayed)} of the time{shown}"
        case Kind.BEHIND:
            return f"thread {waits.behind} is behind and the others wait for it{shown}"
        case Kind.SWITCHES:
            return f"other programs take the CPUs: {waits.switches:.1f} context switches a call{shown}"
        case Kind.ASLEEP:
            return "the program sleeps or waits for its turn, for files or for input"
    return f"threads wait for each other at barriers{shown}"
