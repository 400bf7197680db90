"""What to count next on a core, as the command that counts it: raw numbers, which every release of perf takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.cores import GENERIC, Core

STALLS = ("CPU_CYCLES", "STALL_FRONTEND", "STALL_BACKEND")
MEMORY = ("STALL_BACKEND_MEM", "STALL_BACKEND_MEMBOUND")
LOADS_AND_STORES = ("STALL_BACKEND_LD", "STALL_BACKEND_ST")
TRAFFIC = ("L3D_CACHE_REFILL", "L2D_CACHE_REFILL")


TO_SETTLE = "to settle it: "


def perf_stat(core: Core, events: Iterable[str]) -> str:
    """`perf stat` of these events in one group, so that their ratios are exact."""
    numbers = ",".join(f"r{core.events[event]:x}" for event in events if core.has(event))
    return f"perf stat -e '{{{numbers}}}' -- PROGRAM"


def how_to_count(core: Core) -> str:
    """The command that gives the stall rule its events."""
    if not core.is_arm:
        return "perf stat --topdown -- PROGRAM (the stall events of this analysis are Arm's)"
    if not core.has("STALL_BACKEND"):
        return _by_refills(core, f"{core.title} counts no stalls")
    return perf_stat(core, (*STALLS, *_memory_events(core)))


def how_to_settle(core: Core) -> str:
    """What tells memory from core where the back end stalls, as precisely as the core's events allow."""
    if not core.is_arm:
        return "perf stat --topdown --td-level 2 -- PROGRAM (memory bound against core bound)"
    memory = _memory_events(core)
    if memory:
        named = ", and name the core with --core: not every core has it" if core.name == GENERIC else ""
        return f"count {' and '.join(memory)} with {perf_stat(core, (*STALLS, *memory))}{named}"
    return _by_refills(core, f"{core.title} counts no memory stalls")


def _by_refills(core: Core, lacks: str) -> str:
    if not any(core.has(event) for event in TRAFFIC):
        return f"{lacks} and no refills of its last level: what it has is time, by operation (--per-op)"
    command = perf_stat(core, (*STALLS, "INST_RETIRED", "L2D_CACHE_REFILL", "L3D_CACHE_REFILL"))
    return f"{lacks}; compare its refills with a measured read peak: {command}, then --read-peak GB/s (q4engine bench)"


def _memory_events(core: Core) -> Sequence[str]:
    found = [event for event in MEMORY if core.has(event)]
    if found:
        return found[:1]
    return LOADS_AND_STORES if all(core.has(event) for event in LOADS_AND_STORES) else ()
