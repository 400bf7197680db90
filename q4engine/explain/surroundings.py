"""What a process may use of the machine: CPUs, how fast each is, its control group's time."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from q4engine import cpus, machine
from q4engine.explain.granted import Clock, read_clocks


@dataclass(frozen=True)
class Places:
    """Where to look, and the CPUs that may be used (None: the process's own)."""

    sysfs: Path = cpus.SYSFS_CPU
    cgroups: Path = cpus.CGROUPS
    own_cgroup: Path = cpus.OWN_CGROUP
    available: Collection[int] | None = None


@dataclass(frozen=True)
class Surroundings:
    """available: CPUs that may be used. speeds: of each, relative to each other. fast: those that are not much slower
    than the fastest. best: as many threads as make it faster. quota: CPUs' worth of time, None without a limit.
    clocks: of the CPUs that tell."""

    available: tuple[int, ...]
    speeds: dict[int, int]
    fast: tuple[int, ...]
    best: int
    quota: float | None
    huge_pages: str | None
    governors: list[str]
    clocks: dict[int, Clock] = field(default_factory=dict)

    @classmethod
    def now(cls, places: Places) -> Surroundings:
        available = sorted(os.sched_getaffinity(0) if places.available is None else places.available)
        speeds, fast = cpus.fast_ones(available, places.sysfs)
        best = cpus.choose_threads(available, places.sysfs, places.cgroups, places.own_cgroup).n
        quota = cpus.cpu_quota(places.cgroups, places.own_cgroup)
        pages, governors = machine.huge_pages(), machine.governors()
        clocks = read_clocks(available, places.sysfs)
        return cls(tuple(available), speeds, tuple(fast), best, quota, pages, governors, clocks)

    @property
    def slow(self) -> tuple[int, ...]:
        return tuple(cpu for cpu in self.available if cpu not in self.fast)
