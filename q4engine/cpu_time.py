"""CPU time by /proc: what everyone used, what the hypervisor took, and how long our own threads waited for a CPU."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from q4engine.machine import read_text

STAT = Path("/proc/stat")
TASKS = Path("/proc/self/task")

# Fields of /proc/stat, proc(5): user, nice, system, idle, iowait, irq, softirq, steal, all in ticks.
_ROW = re.compile(r"^cpu(\d*) +(\d+) (\d+) (\d+) \d+ \d+ (\d+) (\d+) (\d+)", re.MULTILINE)
_LEAST_SECONDS = 0.5
"""Of CPU time: fewer of the 10 ms ticks that /proc/stat counts tell no percent."""


class MachineTime(NamedTuple):
    """Seconds of CPUs since the system started. busy: by everyone, idle and I/O wait left out.

    stolen: in which the hypervisor ran others although these CPUs had work.
    """

    busy: float
    stolen: float


class ThreadTime(NamedTuple):
    """Of one thread since it started: nanoseconds on a CPU, and ready to run without one."""

    running_ns: int
    waiting_ns: int


@dataclass(frozen=True)
class Moment:
    """Sums that are good for differences. machine: all CPUs. allowed: those that the engine may use.

    own: seconds of CPU that this process used. at: seconds on a monotonic clock. None, or empty, where the system does
    not say.
    """

    at: float
    machine: MachineTime | None
    allowed: MachineTime | None
    own: float
    threads: Mapping[int, ThreadTime] = field(default_factory=dict)


def read_moment(cpus: Collection[int] | None = None) -> Moment:
    """The moment now. cpus: those that the engine may use, None: those of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    allowed = os.sched_getaffinity(0) if cpus is None else cpus
    own = usage.ru_utime + usage.ru_stime
    return Moment(time.monotonic(), machine_time(), machine_time(allowed), own, thread_times(TASKS))


def machine_time(cpus: Collection[int] | None = None) -> MachineTime | None:
    """Of these CPUs together, None: of all; None where the system does not say."""
    ticks = os.sysconf("SC_CLK_TCK")
    busy = stolen = 0
    found = False
    for match in _ROW.finditer(read_text(STAT) or ""):
        number, *counted = match.groups()
        if int(number) in cpus if number and cpus is not None else not number and cpus is None:
            *used, taken = map(int, counted)
            busy, stolen, found = busy + sum(used), stolen + taken, True
    return MachineTime(busy / ticks, stolen / ticks) if found else None


def others_percent(before: MachineTime, after: MachineTime, own: float, seconds: float) -> float:
    """CPU time that others used meanwhile, in percent of one CPU; with what the hypervisor took. own: our seconds."""
    return max(0.0, 100.0 * (sum(after) - sum(before) - own) / seconds)


class Taken(NamedTuple):
    """What others had of the CPUs in a span, good for sums over several. stolen, wanted: seconds, of all the CPUs, that
    the hypervisor took and that there was work for. running_ns, waiting_ns: of the process's threads.
    """

    stolen: float = 0.0
    wanted: float = 0.0
    running_ns: int = 0
    waiting_ns: int = 0

    def and_(self, other: Taken) -> Taken:
        """Both spans together."""
        return Taken(
            self.stolen + other.stolen,
            self.wanted + other.wanted,
            self.running_ns + other.running_ns,
            self.waiting_ns + other.waiting_ns,
        )

    def percents(self) -> dict[str, float]:
        """Keys of a capture's header, those that can be told."""
        keys: dict[str, float] = {}
        if self.wanted >= _LEAST_SECONDS:
            keys["steal_percent"] = 100 * self.stolen / self.wanted
        if self.running_ns > 0 and self.waiting_ns >= 0:
            keys["run_delay_percent"] = 100 * self.waiting_ns / (self.running_ns + self.waiting_ns)
        return keys


def taken(before: Moment, after: Moment) -> Taken:
    """What others had between two moments; nothing of what cannot be told."""
    stolen = wanted = 0.0
    if before.allowed and after.allowed:
        stolen = after.allowed.stolen - before.allowed.stolen
        wanted = after.allowed.busy - before.allowed.busy + stolen
        if not 0 <= stolen <= wanted:  # the kernel's sums may go back where a CPU comes or goes
            stolen = wanted = 0.0
    running = waiting = 0
    for thread, now in after.threads.items():
        then = before.threads.get(thread, ThreadTime(0, 0))
        running, waiting = running + now.running_ns - then.running_ns, waiting + now.waiting_ns - then.waiting_ns
    return Taken(stolen, wanted, running, waiting)


def taken_percents(before: Moment, after: Moment) -> dict[str, float]:
    """What others took of the CPUs between two moments: keys of a capture's header, those that can be told."""
    keys = taken(before, after).percents()
    seconds = after.at - before.at
    if before.machine and after.machine and seconds >= _LEAST_SECONDS:
        own = after.own - before.own
        keys["others_percent_of_cpu"] = others_percent(before.machine, after.machine, own, seconds)
    return keys


def thread_times(tasks: Path) -> dict[int, ThreadTime]:
    """The threads of a process, from schedstat (sched-stats.rst). tasks: /proc/PID/task."""
    found = {}
    for entry in sorted(tasks.glob("[0-9]*")):
        match = re.match(r"(\d+) (\d+) \d+", read_text(entry / "schedstat") or "")
        if match:
            found[int(entry.name)] = ThreadTime(int(match[1]), int(match[2]))
    return found
