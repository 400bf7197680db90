"""From names of events to the numbers that perf_event_open wants."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from analysis.events import ARM, SOFTWARE_EVENTS, arm_events, canonical, event_code
from q4engine.errors import Q4Error, shown

# perf_event_attr.type, from the kernel's perf_event.h
TYPE_HARDWARE, TYPE_SOFTWARE, TYPE_CACHE, TYPE_RAW = 0, 1, 3, 4

NativeEvent = tuple[int, int, bool]
"""An event as the native module takes it: type, config, exclude_kernel."""
NativeGroup = list[NativeEvent]
"""Events to be counted together."""
NamedEvent = tuple[str, NativeEvent]
TryGroup = Callable[[NativeGroup], tuple[int, int]]
"""Opens a group and closes it: errno or 0, and the index of the event refused."""

NONE = "none"
CYCLES = "CPU_CYCLES"
MIGRATIONS = "cpu-migrations"

# What to count, each within the six programmable counters (and the cycle counter) that Arm cores have.
ARM_PRESETS: dict[str, tuple[str, ...]] = {
    "default": (
        "CPU_CYCLES", "INST_RETIRED", "STALL_FRONTEND", "STALL_BACKEND", "STALL_BACKEND_MEM", "L2D_CACHE_REFILL",
        "LL_CACHE_MISS_RD",
    ),
    "stalls": (
        "CPU_CYCLES", "INST_RETIRED", "STALL_FRONTEND", "STALL_BACKEND", "STALL_BACKEND_MEM", "STALL_SLOT_FRONTEND",
        "STALL_SLOT_BACKEND",
    ),
    "mix": ("CPU_CYCLES", "INST_SPEC", "ASE_SPEC", "VFP_SPEC", "DP_SPEC", "LD_SPEC", "ST_SPEC"),
    "cache": (
        "CPU_CYCLES", "INST_RETIRED", "L1D_CACHE_REFILL", "L2D_CACHE_REFILL", "L3D_CACHE_REFILL", "LL_CACHE_RD",
        "LL_CACHE_MISS_RD",
    ),
}  # fmt: skip
OTHER_PRESETS: dict[str, tuple[str, ...]] = {
    "default": ("cycles", "instructions", "stalled-cycles-frontend", "stalled-cycles-backend", "cache-misses"),
    "stalls": ("cycles", "instructions", "stalled-cycles-frontend", "stalled-cycles-backend"),
    "mix": ("cycles", "instructions", "branches", "branch-misses"),
    "cache": ("cycles", "instructions", "cache-references", "cache-misses", "L1-dcache-load-misses"),
}

# PERF_TYPE_HARDWARE and PERF_TYPE_HW_CACHE, by the names that canonical() leaves on machines other than Arm's.
_HARDWARE = {
    CYCLES: 0, "INST_RETIRED": 1, "cache-references": 2, "cache-misses": 3, "branches": 4, "branch-instructions": 4,
    "branch-misses": 5, "bus-cycles": 6, "stalled-cycles-frontend": 7, "idle-cycles-frontend": 7,
    "stalled-cycles-backend": 8, "idle-cycles-backend": 8, "ref-cycles": 9,
}  # fmt: skip
_CACHES = {"L1-dcache": 0, "L1-icache": 1, "LLC": 2, "dTLB": 3, "iTLB": 4}
_CACHE_EVENT = re.compile(r"(L1-dcache|L1-icache|LLC|dTLB|iTLB)-load(s|-misses)")
_RAW = re.compile(r"r([0-9a-fA-F]{1,16})")
_NUMBER = re.compile(r"^r[0-9a-fA-F]+(:|$)|=")


@dataclass(frozen=True)
class Event:
    """One event as asked for: `name` is canonical, `pmu` as the user named it or ''. Numbers as in perf_event_attr.

    type None: that of the core's PMU, which has a number of its own in sysfs.
    """

    name: str
    pmu: str
    type: int | None
    config: int
    by_number: bool = False
    """Given as a raw code, not by a name."""
    elsewhere: bool = False
    """An event of Arm's cores, named on a machine that has none."""

    @property
    def software(self) -> bool:
        return self.type == TYPE_SOFTWARE


def parse_events(text: str, arch: str) -> list[Event]:
    """Events of a list such as ``CPU_CYCLES,STALL_BACKEND``, ``stalls,cache``, ``r4005`` or ``task-clock``.

    Each event once, in the order given. Q4Error names the first that is not known.
    """
    presets = presets_of(arch)
    found: dict[tuple[str, str], Event] = {}
    for item in _split(text):
        if item == NONE:
            continue
        for name in presets.get(item, (item,)):
            event = _event(name, arch)
            found.setdefault((event.name, event.pmu), event)
    return list(found.values())


def _split(text: str) -> list[str]:
    """Commas between slashes belong to an event."""
    parts = re.findall(r"(?:[^,/]|/[^/]*/)+", text)
    items = [part.strip() for part in parts]
    if not any(items):
        raise Q4Error("--events is empty: name events, a preset (default, stalls, mix, cache) or none")
    return [item for item in items if item]


def _event(text: str, arch: str) -> Event:
    name, pmu, modifier = canonical(text, arch)
    if modifier not in ("", "u"):
        raise Q4Error(f"event {shown(text)}: the modifier {modifier} cannot be had; user space alone is counted")
    if name in SOFTWARE_EVENTS:
        return Event(name, pmu, TYPE_SOFTWARE, SOFTWARE_EVENTS[name])
    if arch in ARM:
        code = event_code(name)
        if code is not None:
            return Event(name, pmu, None, code, by_number=bool(_NUMBER.search(text)))
    elif name in _HARDWARE:
        return Event(name, pmu, TYPE_HARDWARE, _HARDWARE[name])
    elif cache := _CACHE_EVENT.fullmatch(name):
        return Event(name, pmu, TYPE_CACHE, _CACHES[cache[1]] | (cache[2] == "-misses") << 16)
    elif raw := _RAW.fullmatch(name):
        return Event(name, pmu, TYPE_RAW, int(raw[1], 16))
    elif (arm := canonical(text, "aarch64")).name in arm_events():
        return Event(arm.name, arm.pmu, None, arm_events()[arm.name], elsewhere=True)
    hint = "Arm's names (STALL_BACKEND), perf's (cycles), raw codes (r4005)"
    raise Q4Error(f"event {shown(text)} is not known here: give {hint} or the presets {', '.join(presets_of(arch))}")


def presets_of(arch: str) -> dict[str, tuple[str, ...]]:
    """The presets of an architecture: name -> events."""
    return ARM_PRESETS if arch in ARM else OTHER_PRESETS
