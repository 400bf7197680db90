"""Memory nodes (NUMA): which CPUs are near which memory."""

from __future__ import annotations

import os
from collections.abc import Collection
from itertools import zip_longest
from pathlib import Path

from q4engine.cpus import parse_cpu_list

SYSFS_NODES = Path("/sys/devices/system/node")
OWN_STAT = Path("/proc/self/stat")
_CPU_FIELD = 36  # of /proc/PID/stat, counted from behind the name


def memory_nodes(available: Collection[int] | None = None, nodes: Path = SYSFS_NODES) -> list[list[int]]:
    """The CPUs of each node that has some the process may use; one node where the kernel tells of none."""
    usable = os.sched_getaffinity(0) if available is None else set(available)
    found = []
    for folder in sorted(nodes.glob("node[0-9]*"), key=lambda path: int(path.name.removeprefix("node"))):
        try:
            cpus = parse_cpu_list((folder / "cpulist").read_text().strip())
        except (OSError, ValueError):
            continue
        found.append([cpu for cpu in cpus if cpu in usable])
    return [cpus for cpus in found if cpus] or [sorted(usable)]


def by_turns(nodes: list[list[int]]) -> list[int]:
    """A CPU of each node, then another of each, …"""
    return [cpu for row in zip_longest(*nodes) for cpu in row if cpu is not None]


def node_of(cpu: int, nodes: list[list[int]]) -> list[int]:
    """The CPUs of the node that a CPU belongs to; the first node's where it is in none."""
    return next((cpus for cpus in nodes if cpu in cpus), nodes[0])


def current_cpu(stat: Path = OWN_STAT) -> int:
    """The CPU that this process runs on, or did last."""
    return int(stat.read_text().rpartition(")")[2].split()[_CPU_FIELD])
