"""Why a phase has no counts at all, where the tool says so of every event: a machine without counters, or none free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from analysis.errors import printable
from analysis.events import is_software
from analysis.phase import METRIC_PREFIX, NOT_COUNTED, NOT_SUPPORTED, OK, Count, Phase
from analysis.table import summarise


class Absent(NamedTuple):
    """verdict: in a few words. why: what the tool says, and its usual cause. advice: what to do."""

    verdict: str
    why: str
    advice: str


def of_phase(phase: Phase) -> Absent | None:
    """None where anything of the processor's was counted, or where nothing of it was asked for."""
    counts = phase.counts
    if any(name.startswith(METRIC_PREFIX) and count.status == OK for name, count in counts.items()):
        return None
    found = dict(_of_processor(counts))
    statuses = {count.status for count in found.values()}
    if not statuses or not statuses <= {NOT_COUNTED, NOT_SUPPORTED}:
        return None
    names = summarise([printable(name, 60) for name in found], 4)
    if NOT_SUPPORTED in statuses:
        return Absent(
            "no counters available here",
            f"every event of the processor ({names}) is <not supported>: a virtual machine or container without access "
            "to the PMU, or a kernel without its driver",
            "count on the machine itself, or where the PMU is passed through (KVM: -cpu host,pmu=on; clouds: metal "
            "sizes), and `ls /sys/bus/event_source/devices` lists it; without counters q4engine run --capture --per-op "
            "still times every operation",
        )
    where = printable(" ".join(part for part in (phase.pmu, phase.scope) if part), 80)
    if where:
        return Absent(
            f"nothing counted on {where}",
            f"every event ({names}) is <not counted>: the program did not run there, or too briefly",
            "bind it to these CPUs (taskset -c), or leave them out",
        )
    return Absent(
        "no counters available here",
        f"every event of the processor ({names}) is <not counted>: the program ended too soon, or the counters were "
        "not to be had, as in a virtual machine without access to the PMU or where another profiler holds them",
        "run it for longer and with fewer events (perf stat -e cycles), close other profilers, and where cycles alone "
        "are <not counted> too, count on the machine itself",
    )


def _of_processor(counts: dict[str, Count]) -> Iterator[tuple[str, Count]]:
    """Events of a PMU: not the kernel's, no tracepoints (`sched:sched_switch`), no ratios."""
    for name, count in counts.items():
        if not (is_software(name) or name.startswith(METRIC_PREFIX) or ":" in name):
            yield name, count
