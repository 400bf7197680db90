"""Which CPUs the engine's threads run on: the fastest cluster by default, or what ``--cpu-mask`` names."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from q4engine.errors import Q4Error, shown

SYSFS_CPU = Path("/sys/devices/system/cpu")
MAX_CPU = 1023


def parse_cpu_mask(text: str) -> list[int]:
    """CPU numbers of a hexadecimal mask (``0xf0``) or a list (``4-7`` or ``0,2,4-5``), as taskset takes them."""
    try:
        if text.lower().startswith("0x"):
            mask = int(text, 16)
            cpus = [i for i in range(mask.bit_length()) if mask >> i & 1]
        else:
            cpus = sorted({cpu for part in text.split(",") for cpu in _parse_range(part)})
    except ValueError:
        cpus = []
    if not cpus or cpus[-1] > MAX_CPU:
        raise Q4Error(f"{shown(text)} names no CPUs, expected a mask such as 0xf0 or a list such as 4-7")
    absent = sorted(set(cpus) - os.sched_getaffinity(0))
    if absent:
        available = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        raise Q4Error(f"{shown(text)}: CPU {absent[0]} is not available here, only {available}")
    return cpus


def _parse_range(part: str) -> range:
    match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part)
    if match is None:
        raise ValueError(part)
    low, high = int(match[1]), int(match[2] or match[1])
    if not low <= high <= MAX_CPU:
        raise ValueError(part)
    return range(low, high + 1)


def default_thread_count() -> int:
    """Cores of the fastest cluster that this process may use, hardware threads of one core counted once."""
    cpus = sorted(os.sched_getaffinity(0))
    speed = {cpu: _capacity(cpu) for cpu in cpus}
    fastest = [cpu for cpu in cpus if speed[cpu] == max(speed.values())]
    return len({_siblings(cpu) for cpu in fastest})


def without_crowd(n_threads: int, cpu_mask: Sequence[int] | None) -> tuple[int, str | None]:
    """The threads that a command starts for so many that were asked for, and what its user should know of it.

    Threads that take turns on CPUs wait for each other at every operation, which costs several times what they do:
    there are no more of them than CPUs. Results are the same for any number.
    """
    n_cpus = len(cpu_mask) if cpu_mask else len(os.sched_getaffinity(0))
    if n_threads <= n_cpus:
        return n_threads, None
    used = "1 CPU: 1 is used" if n_cpus == 1 else f"{n_cpus} CPUs: {n_cpus} are used"
    return n_cpus, f"{n_threads} threads would take turns on {used}"


def _capacity(cpu: int) -> int:
    """The kernel's relative capacity, else the highest frequency in kHz, else 0 (all alike)."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        try:
            return int((SYSFS_CPU / f"cpu{cpu}" / name).read_text())
        except (OSError, ValueError):
            continue
    return 0


def _siblings(cpu: int) -> str:
    try:
        return (SYSFS_CPU / f"cpu{cpu}" / "topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)
