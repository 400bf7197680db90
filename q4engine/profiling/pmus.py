"""The PMUs of this machine's cores, as sysfs shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from q4engine.machine import read_text
from q4engine.profiling.events import Event

DEVICES = Path("/sys/bus/event_source/devices")

_LISTED = ((0x0000, 0x003F), (0x4000, 0x403F))  # event numbers that PMCEID0_EL0 and PMCEID1_EL0 tell of


@dataclass(frozen=True)
class Pmu:
    """A PMU of CPU cores, from sysfs. events: what the kernel lists for it, lower case."""

    name: str
    type: int
    cpus: tuple[int, ...]
    slots: int | None = None
    events: frozenset[str] = frozenset()

    def lacks(self, event: Event) -> bool:
        """Whether the kernel does not list an event for this core that it lists where the core has it.

        Such an event would count 0, which reads as a measurement. One given by its number is believed.
        """
        if event.type is not None or event.by_number or not self.events:
            return False
        return any(low <= event.config <= high for low, high in _LISTED) and event.name.lower() not in self.events


def core_pmus(root: Path = DEVICES) -> list[Pmu]:
    """The PMUs of this machine's cores: several where the cores differ."""
    found = []
    for folder in sorted(root.glob("*")):
        cpus, number = read_text(folder / "cpus"), read_text(folder / "type")
        if number is None or (cpus is None and folder.name != "cpu"):
            continue
        slots = read_text(folder / "caps" / "slots")
        events = frozenset(path.name for path in (folder / "events").glob("*") if "." not in path.name)
        found.append(Pmu(folder.name, int(number), _cpu_list(cpus or ""), int(slots, 0) if slots else None, events))
    return found


def slots_of(pmus: Sequence[Pmu]) -> str | None:
    """Issue slots a cycle: a number, ``PMU=number`` of each where they differ, None where the kernel does not say."""
    known = {pmu.name: pmu.slots for pmu in pmus if pmu.slots}
    if len(set(known.values())) == 1 and len(known) == len(pmus):
        return str(next(iter(known.values())))
    return ",".join(f"{name}={number}" for name, number in known.items()) or None


def _cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers of sysfs's form, 0-3,7."""
    cpus: list[int] = []
    for low, high in re.findall(r"(\d+)(?:-(\d+))?", text):
        cpus += range(int(low), int(high or low) + 1)
    return tuple(cpus)
