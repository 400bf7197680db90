"""Which CPUs the engine's threads run on: as many as make it faster by default, or what ``--cpu-mask`` names."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from q4engine.errors import Q4Error, shown

SYSFS_CPU = Path("/sys/devices/system/cpu")
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
MAX_CPU = 1023
MAX_THREADS = 256
_LONGEST = 5000  # the list of 1024 numbers

# A core takes part where it does at least so much of the fastest one's work. Rows are handed out in chunks, so a slower
# core takes fewer; but all wait for its last chunk, and a little core beside big ones costs more than it brings.
_CAPACITY_SHARE = 0.6
_FREQUENCY_SHARE = 0.8  # where the kernel tells frequencies alone, which say nothing of the work a clock does


def parse_cpu_mask(text: str) -> list[int]:
    """CPU numbers of a hexadecimal mask (``0xf0``) or a list (``4-7`` or ``0,2,4-5``), as taskset takes them.

    A list's order is kept: of fewer threads than CPUs the first have the first.
    """
    try:
        if len(text) > _LONGEST:
            raise ValueError(text)
        if text.lower().startswith("0x"):
            mask = int(text, 16)
            cpus = [i for i in range(mask.bit_length()) if mask >> i & 1]
        else:
            cpus = list(dict.fromkeys(cpu for part in text.split(",") for cpu in _parse_range(part)))
    except ValueError:
        cpus = []
    if not cpus or max(cpus) > MAX_CPU:
        raise Q4Error(f"{shown(text)} names no CPUs, expected a mask such as 0xf0 or a list such as 4-7")
    require_available(cpus, shown(text))
    return cpus


def require_available(cpus: Collection[int], named: str) -> None:
    """Q4Error that begins with ``named`` where this process may not run on one of these."""
    available = os.sched_getaffinity(0)
    for cpu in cpus:
        if cpu not in available:
            raise Q4Error(f"{named}: CPU {cpu} is not available here, only {','.join(map(str, sorted(available)))}")


def parse_cpu_list(text: str) -> list[int]:
    """CPU numbers of a list as the kernel writes it, ascending. ValueError where it is none."""
    return sorted({cpu for part in text.split(",") for cpu in _parse_range(part)})


def _parse_range(part: str) -> range:
    match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part)
    if match is None:
        raise ValueError(part)
    low, high = int(match[1]), int(match[2] or match[1])
    if not low <= high <= MAX_CPU:
        raise ValueError(part)
    return range(low, high + 1)


@dataclass(frozen=True)
class Threads:
    """How many threads, and why not one for each CPU (None: it is)."""

    n: int
    why: str | None = None


def choose_threads(
    available: Collection[int] | None = None,
    cpus: Path = SYSFS_CPU,
    cgroups: Path = CGROUPS,
    own_cgroup: Path = OWN_CGROUP,
) -> Threads:
    """Threads that make it faster: one for each core that is not much slower than the fastest, hardware threads of one
    core counted once, and no more than the control group's quota has time for.

    ``available``: CPUs that the process may use (its affinity, and with it cpusets). The rest says where to look.
    """
    numbers = sorted(os.sched_getaffinity(0) if available is None else available)
    speed, taken = fast_ones(numbers, cpus)
    fastest = max(speed.values())
    n, why = len({siblings(cpu, cpus) for cpu in taken}), None
    if slow := [speed[cpu] for cpu in numbers if cpu not in set(taken)]:
        range_of = f"{min(slow) / fastest:.0%}" if min(slow) == max(slow) else f"{min(slow) / fastest:.0%} at least"
        why = (
            f"the other {len(slow)} of {len(numbers)} CPUs have {range_of} of the fastest's speed and would hold it up"
        )
    quota = cpu_quota(cgroups, own_cgroup)
    if quota is not None and quota < n - 0.5:
        n, why = max(1, int(quota + 0.5)), f"the control group has {quota:.2g} CPUs' time for it"
    return Threads(n, why)


def fast_ones(numbers: Sequence[int], cpus: Path = SYSFS_CPU) -> tuple[dict[int, int], list[int]]:
    """Relative speeds of these CPUs, and those of them that are not much slower than the fastest."""
    speed, share = speeds(numbers, cpus)
    fastest = max(speed.values())
    return speed, [cpu for cpu in numbers if speed[cpu] >= share * fastest]


def default_thread_count() -> int:
    """As of :func:`choose_threads`."""
    return choose_threads().n


def cpu_quota(cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> float | None:
    """CPUs' worth of time that the process's control groups (version 1 or 2) allow it; None without a limit."""
    found = [quota / period for quota, period in _quotas(cgroups, own_cgroup) if quota > 0 and period > 0]
    return min(found, default=None)


def throttled_seconds(cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> float | None:
    """For how long the process's control groups were stopped since they exist because their quota was used up, the
    longest of them; None where none tells."""
    found = []
    for folder, _ in _groups(cgroups, own_cgroup):
        words = _words(folder / "cpu.stat")
        told = dict(zip(words[::2], words[1::2], strict=False))
        for key, unit in (("throttled_usec", 1e-6), ("throttled_time", 1e-9)):
            if re.fullmatch("[0-9]{1,18}", told.get(key, "")):
                found.append(int(told[key]) * unit)
    return max(found, default=None)


def _quotas(cgroups: Path, own_cgroup: Path) -> Iterator[tuple[int, int]]:
    """(quota, period) of each group that the process is in, the innermost first."""
    for folder, names in _groups(cgroups, own_cgroup):
        words = [word for name in names for word in _words(folder / name)]
        if len(words) == 2 and all(re.fullmatch("[0-9]{1,15}", word) for word in words):
            yield int(words[0]), int(words[1])


def _groups(cgroups: Path, own_cgroup: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folders of the groups that the process is in, the innermost first, and the files that tell their quota."""
    try:
        lines = own_cgroup.read_text().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            root, names = cgroups, ["cpu.max"]
        elif "cpu" in controllers.split(","):
            root, names = cgroups / controllers, ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
            root = root if root.exists() else cgroups / "cpu"
        else:
            continue
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            yield group, names
            if group == root:
                break


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, ValueError):
        return []


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


def speeds(numbers: Sequence[int], cpus: Path = SYSFS_CPU) -> tuple[dict[int, int], float]:
    """Relative speeds, and the least share of the fastest's that counts: the kernel's capacities, else the highest
    frequencies; all alike where one of them is not told."""
    for name, share in (("cpu_capacity", _CAPACITY_SHARE), ("cpufreq/cpuinfo_max_freq", _FREQUENCY_SHARE)):
        words = {cpu: _words(cpus / f"cpu{cpu}" / name) for cpu in numbers}
        if all(len(found) == 1 and re.fullmatch("[1-9][0-9]{0,11}", found[0]) for found in words.values()):
            return {cpu: int(found[0]) for cpu, found in words.items()}, share
    return dict.fromkeys(numbers, 1), 1.0


def siblings(cpu: int, cpus: Path = SYSFS_CPU) -> str:
    """What names the core that a CPU is a hardware thread of."""
    return " ".join(_words(cpus / f"cpu{cpu}" / "topology/thread_siblings_list")) or str(cpu)
