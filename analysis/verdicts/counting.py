"""What to count next on a core, as the command that counts it: raw numbers, which every release of perf takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.cores import GENERIC, Core
from analysis.metric_names import SLOTS_CLASSES
from analysis.metrics import Subject
from analysis.phase import IMPOSSIBLE, METRIC_PREFIX, OK

STALLS = ("CPU_CYCLES", "STALL_FRONTEND", "STALL_BACKEND")
MEMORY = ("STALL_BACKEND_MEM", "STALL_BACKEND_MEMBOUND")
LOADS_AND_STORES = ("STALL_BACKEND_LD", "STALL_BACKEND_ST")
TRAFFIC = ("L3D_CACHE_REFILL", "L2D_CACHE_REFILL")


TO_SETTLE = "to settle it: "


NOTHING: frozenset[str] = frozenset()
FEWER = "count fewer events a run, and for longer, so that none waits for a counter"
PEAK = "--read-peak GB/s (q4engine bench measures it)"


def perf_stat(core: Core, events: Iterable[str], have: frozenset[str] = NOTHING) -> str:
    """`perf stat` of these events in one group, so that their ratios are exact.

    have: events that the capture holds: they are not asked for again, save cycles, by which all else is divided.
    """
    wanted = [event for event in events if core.has(event) and event not in have]
    numbers = [f"r{core.events[event]:x}" for event in wanted]
    beside = ["cycles"] if "CPU_CYCLES" in have and core.has("CPU_CYCLES") else []
    return f"perf stat -e '{{{','.join([*beside, *numbers])}}}' -- PROGRAM"


def counted(subject: Subject) -> frozenset[str]:
    """The events that the capture holds a count of."""
    return frozenset(event for event, count in subject.counts.items() if count.status in (OK, IMPOSSIBLE))


def _lacking(core: Core, events: Iterable[str], have: frozenset[str]) -> list[str]:
    return [event for event in events if core.has(event) and event not in have]


def how_to_count(core: Core, have: frozenset[str] = NOTHING) -> str:
    """The command that gives the stall rule its events; what else to do where the capture has them all."""
    if not core.is_arm:
        if any(event.removeprefix(METRIC_PREFIX) in SLOTS_CLASSES for event in have):
            return FEWER
        return "perf stat --topdown -- PROGRAM (the stall events of this analysis are Arm's)"
    if not core.has("STALL_BACKEND"):
        return _by_refills(core, f"{core.title} counts no stalls", have)
    wanted = (*STALLS, *_memory_events(core))
    if not _lacking(core, wanted[1:], have):
        return FEWER
    return perf_stat(core, wanted, have)


def how_to_settle(core: Core, have: frozenset[str] = NOTHING) -> str:
    """What tells memory from core where the back end stalls, as precisely as the core's events allow."""
    if not core.is_arm:
        if METRIC_PREFIX + "memory_bound" in have:
            return FEWER
        return "perf stat --topdown --td-level 2 -- PROGRAM (memory bound against core bound)"
    memory = _memory_events(core)
    if memory:
        named = ", and name the core with --core: not every core has it" if core.name == GENERIC else ""
        asked = _lacking(core, memory, have) or _lacking(core, ("STALL_BACKEND",), have)
        if not asked:
            return f"{FEWER}{named.replace(' it', f' {memory[0]}')}"
        # memory's share is of the back end's stalls, which have to be counted in the same group
        command = perf_stat(core, (*STALLS, *memory), have)
        return f"count {' and '.join(asked)} with {command}{named}"
    return _by_refills(core, f"{core.title} counts no memory stalls", have)


def _by_refills(core: Core, lacks: str, have: frozenset[str]) -> str:
    refills = [event for event in TRAFFIC if core.has(event)]
    if not refills:
        return f"{lacks} and no refills of its last level: what it has is time, by operation (--per-op)"
    if any(event in have for event in refills):
        return f"{lacks}; compare its refills with a measured read peak: {PEAK}"
    command = perf_stat(core, (*STALLS, "INST_RETIRED", "L2D_CACHE_REFILL", "L3D_CACHE_REFILL"), have)
    return f"{lacks}; compare its refills with a measured read peak: {command}, then --read-peak GB/s (q4engine bench)"


def _memory_events(core: Core) -> Sequence[str]:
    found = [event for event in MEMORY if core.has(event)]
    if found:
        return found[:1]
    return LOADS_AND_STORES if all(core.has(event) for event in LOADS_AND_STORES) else ()
