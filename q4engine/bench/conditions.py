"""The state of the machine around a measurement: what makes two figures comparable, or not."""

from __future__ import annotations

import os
import platform
import re
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from q4engine import __version__, cpu_time
from q4engine.cpu_time import MachineTime
from q4engine.machine import CPU_ROOT, commit, cpu_name, governors, huge_pages, read_text

THERMAL_ROOT = Path("/sys/class/thermal")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class State:
    """A moment. Lists are empty and values None where the system does not say.

    ``machine``: CPU time since the system started, ``own_seconds`` this process's.
    """

    governors: list[str]
    mhz: list[float]
    celsius: dict[str, float]
    load_average: float | None
    machine: MachineTime | None
    own_seconds: float
    children: dict[int, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """What is worth keeping: the sums are only good for differences."""
        return {
            "governors": self.governors,
            "mhz": self.mhz,
            "celsius": self.celsius,
            "load_average": self.load_average,
        }


def read_state(processes: tuple[int, ...] = ()) -> State:
    """The state now. ``processes``: ids of other processes whose CPU time is ours too (a peer's)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return State(
        governors=governors(),
        mhz=_frequencies(),
        celsius=_temperatures(),
        load_average=_load_average(),
        machine=cpu_time.machine_time(),
        own_seconds=usage.ru_utime + usage.ru_stime,
        children={pid: seconds for pid in processes if (seconds := _process_seconds(pid)) is not None},
    )


def machine_facts(cpu_mask: Sequence[int] | None) -> dict[str, Any]:
    """What figures depend on besides the model. Keys are short: they are printed."""
    from q4engine import _native  # states are read without it, in tests and where it is not built

    return {
        "q4engine": __version__,
        "commit": commit(),
        "cpu": cpu_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "pinned": None if cpu_mask is None else ",".join(map(str, cpu_mask)),
        "features": _native.cpu_features(os.environ.get("Q4_CPU_FEATURES")),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "governors": governors(),
        "huge pages": huge_pages(),
    }


def others_percent(before: State, after: State, seconds: float) -> float | None:
    """CPU time that others used between two states, in percent of one CPU; with what the hypervisor took away."""
    if before.machine is None or after.machine is None or seconds <= 0:
        return None
    own = after.own_seconds - before.own_seconds
    own += sum(after.children[pid] - before.children.get(pid, 0.0) for pid in after.children)
    return cpu_time.others_percent(before.machine, after.machine, own, seconds)


def _process_seconds(pid: int) -> float | None:
    text = read_text(Path(f"/proc/{pid}/stat"))
    if text is None:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _frequencies() -> list[float]:
    """MHz of each CPU, as cpufreq says, else as /proc/cpuinfo does (x86)."""
    kilohertz = [read_text(path) for path in sorted(CPU_ROOT.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))]
    found = [int(text) / 1e3 for text in kilohertz if text and text.isdigit()]
    return found or [float(mhz) for mhz in re.findall(r"^cpu MHz\s*: ([\d.]+)$", _cpuinfo(), re.MULTILINE)]


def _cpuinfo() -> str:
    return read_text(_CPUINFO) or ""


def _temperatures() -> dict[str, float]:
    found: dict[str, float] = {}
    for zone in sorted(THERMAL_ROOT.glob("thermal_zone*")):
        text = read_text(zone / "temp")
        if text and text.lstrip("-").isdigit():
            found[f"{zone.name} {read_text(zone / 'type') or ''}".strip()] = int(text) / 1e3
    return found


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
