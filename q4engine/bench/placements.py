"""What ``q4engine tune`` tries: numbers of threads, free or pinned to CPUs of one kind or of several."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from q4engine.cpus import CGROUPS, MAX_THREADS, OWN_CGROUP, SYSFS_CPU, choose_threads, cpu_quota, siblings, speeds

_ALL_COUNTS = 8
"""Up to here every number is tried, then powers of two."""


@dataclass(frozen=True)
class Placement:
    """``threads`` on the first of ``cpus``, the best first; None: wherever the system puts them."""

    threads: int
    cpus: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        where = "" if self.cpus is None else f" on CPU {','.join(map(str, self.cpus[: self.threads]))}"
        return f"{self.threads} thread{'s' * (self.threads > 1)}{where}"


def placements(
    available: Collection[int] | None = None,
    cpus: Path = SYSFS_CPU,
    cgroups: Path = CGROUPS,
    own_cgroup: Path = OWN_CGROUP,
) -> list[Placement]:
    """All that may be best, the default first, the others by turns of their families."""
    numbers = sorted(os.sched_getaffinity(0) if available is None else available)
    default = choose_threads(numbers, cpus, cgroups, own_cgroup).n
    quota = cpu_quota(cgroups, own_cgroup)
    most = min(len(numbers), MAX_THREADS, math.ceil(quota) if quota else MAX_THREADS)
    orders: list[tuple[int, ...] | None] = [None]
    if len(numbers) > 1:
        orders += _orders(numbers, cpus)
    families = []
    for order in orders:
        sizes = _counts(min(most, len(order) if order else most), default)
        families.append([Placement(n, order) for n in sizes])
    by_turns = [family[at] for at in range(max(map(len, families))) for family in families if at < len(family)]
    return list(dict.fromkeys([Placement(default), *by_turns]))


def _orders(numbers: Sequence[int], cpus: Path) -> list[tuple[int, ...]]:
    """All CPUs, the fastest first and one of each core before its others; where there are kinds, each of them too."""
    speed, _ = speeds(numbers, cpus)
    seen: dict[str, int] = {}
    turn = {}
    for cpu in numbers:
        core = siblings(cpu, cpus)
        turn[cpu] = seen[core] = seen.get(core, -1) + 1
    ordered = sorted(numbers, key=lambda cpu: (turn[cpu], -speed[cpu], cpu))
    kinds = sorted(set(speed.values()), reverse=True)
    apart = [tuple(cpu for cpu in ordered if speed[cpu] == kind) for kind in kinds] if len(kinds) > 1 else []
    return list(dict.fromkeys([tuple(ordered), *apart]))


def _counts(most: int, default: int) -> list[int]:
    """Numbers of threads, the largest first."""
    counts = {n for n in range(1, most + 1) if n <= _ALL_COUNTS or n & (n - 1) == 0}
    return sorted(counts | {most} | ({default} if default <= most else set()), reverse=True)
