"""Counters of this machine: which PMUs it has, which events fit together, and what their readings say.

Events of one group are counted together, so a ratio of two of them is exact. Groups that do not fit the hardware at the
same time take turns from call to call; a call's count is what was counted in that call, never an estimate.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.events import ARM, SOFTWARE_EVENTS
from q4engine.errors import Q4Error, shown
from q4engine.events import CYCLES, MIGRATIONS, TYPE_RAW, TYPE_SOFTWARE, Event, parse_events
from q4engine.machine import architecture, read_text
from q4engine.recording import Record

DEVICES = Path("/sys/bus/event_source/devices")
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
AVAILABLE = "available"

Number = tuple[int, int, bool]
"""An event as the native module takes it: type, config, exclude_kernel."""
Numbers = list[Number]
"""A group of them."""
Named = tuple[str, Number]
Try = Callable[[Numbers], tuple[int, int]]
"""Opens a group and closes it: errno or 0, and the index of the event refused."""

_REFUSED = (errno.EACCES, errno.EPERM, errno.ENOSYS)
_MOST_GROUPS = 32  # native/pmu.h
_HEAD_WORDS = 3  # number of events, time enabled, time running (native/pmu.h)
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


@dataclass(frozen=True)
class Group:
    """Events counted together on one PMU. names: those to report; one more may follow them for our own use."""

    name: str
    pmu: str
    names: tuple[str, ...]
    numbers: tuple[Number, ...]
    counts_migrations: bool = False

    @property
    def words(self) -> int:
        """Of a reading (native/pmu.h)."""
        return _HEAD_WORDS + len(self.numbers)


@dataclass(frozen=True)
class Counts:
    """by_group: group -> time enabled, time running, counts, only of groups that counted. by_name: event -> count.

    running: event -> nanoseconds in which it was counted.
    """

    by_group: dict[int, list[int]]
    by_name: dict[str, int]
    running: dict[str, int]

    @staticmethod
    def none() -> Counts:
        return Counts({}, {}, {})


@dataclass
class Counters:
    """What is counted in a run. rotation: sets of groups, one set a call. missing: events left out, and why.

    state: "available", or why nothing is counted.
    """

    groups: list[Group] = field(default_factory=list)
    rotation: list[tuple[int, ...]] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    state: str = AVAILABLE
    owner: int = field(default_factory=threading.get_native_id)
    """The thread that the first of the engine's counters was opened on."""

    @property
    def numbers(self) -> list[Numbers]:
        return [list(group.numbers) for group in self.groups]

    def turn(self, n: int) -> tuple[int, ...]:
        """The groups that count in the n-th call."""
        return self.rotation[n % len(self.rotation)] if self.rotation else ()

    def of_call(self, record: Record) -> Counts:
        """Counts of the whole call, all threads together."""
        readings = self._readings(record)
        if readings is None:
            return Counts.none()
        return self._counts(record.counted, readings[:, 0], readings[:, -1])

    def of_marks(self, record: Record) -> list[list[Counts]]:
        """Counts between each mark and the next, by thread; [] where they were not read at every mark."""
        readings = self._readings(record)
        if readings is None or readings.shape[1] * 8 * readings.shape[0] != len(record.stamps):
            return []
        return [
            [self._counts(record.counted, thread[i : i + 1], thread[i + 1 : i + 2]) for i in range(len(thread) - 1)]
            for thread in readings
        ]

    def _readings(self, record: Record) -> np.ndarray | None:
        """None where nothing was counted, or on a thread that the counters are not on."""
        n_words = sum(self.groups[index].words for index in record.counted)
        if not record.counts or not n_words or record.threads()[0].tid != self.owner:
            return None
        return record.readings(n_words)

    def _counts(self, counted: Iterable[int], before: np.ndarray, after: np.ndarray) -> Counts:
        """before, after: readings [threads, words]."""
        counts = Counts.none()
        at = 0
        for index in counted:
            group = self.groups[index]
            part = slice(at, at + group.words)
            at += group.words
            complete = (before[:, part.start] == len(group.numbers)) & (after[:, part.start] == len(group.numbers))
            values = (after[:, part] - before[:, part]).sum(axis=0).tolist()[1:]
            if not complete.all() or values[1] <= 0:  # a group that did not run counted nothing, which is not 0
                continue
            n = len(group.names)
            counts.by_group[index] = values[: 2 + n]
            names = (*group.names, MIGRATIONS) if group.counts_migrations else group.names
            for name, value in zip(names, values[2:], strict=True):
                counts.by_name[name] = counts.by_name.get(name, 0) + value
                counts.running[name] = counts.running.get(name, 0) + values[1]
        return counts


def plan_counters(
    text: str, attempt: Try, pmus: list[Pmu] | None = None, arch: str | None = None, cpus: Iterable[int] | None = None
) -> Counters:
    """Which groups to count for ``--events TEXT``, found out by opening them with ``attempt``.

    cpus: where the engine's threads may run. Where the kernel refuses, ``state`` is one line with what to change.
    Q4Error for an event that nobody knows or a PMU that is not here.
    """
    arch = arch or architecture()
    events = parse_events(text, arch)
    if not events:
        return Counters(state="not asked for")
    pmus = _pmus_in_use(core_pmus() if pmus is None else pmus, cpus)
    refusal, missing, usable = _try_events(events, pmus, arch, attempt)
    if refusal:
        return Counters(state=refusal)
    counters = Counters(missing=missing)
    _group(counters, usable, attempt)
    if len(counters.groups) > _MOST_GROUPS:
        raise Q4Error(f"--events: they make {len(counters.groups)} groups, at most {_MOST_GROUPS} can take turns")
    if not counters.groups:
        nothing = any(why == _NO_PMU for _, why in missing)
        counters.state = NO_HARDWARE if nothing else f"none of the events can be had: {missing_text(missing)}"
    _add_migrations(counters, attempt)
    return counters


NO_HARDWARE = "this machine offers no hardware counters (a virtual machine has them where its host passes them on)"
_NO_PMU = "no hardware counters"
_OF_ARM = "an event of Arm cores"
_IN_KERNEL = ("context-switches", "cpu-migrations", "cgroup-switches")
"""Software events that never happen in user space: counted there alone they would be 0."""


def missing_text(missing: Iterable[tuple[str, str]]) -> str:
    """Events left out, each with the reason."""
    return ", ".join(f"{name} ({why})" for name, why in missing)


def _pmus_in_use(pmus: list[Pmu], cpus: Iterable[int] | None) -> list[Pmu]:
    allowed = set(os.sched_getaffinity(0) if cpus is None else cpus)
    return [pmu for pmu in pmus if not pmu.cpus or allowed & set(pmu.cpus)]


def _try_events(
    events: list[Event], pmus: list[Pmu], arch: str, attempt: Try
) -> tuple[str, list[tuple[str, str]], dict[str, list[Named]]]:
    """(refusal or '', events missing and why, events that open by themselves: PMU -> [(name, numbers)])."""
    missing: list[tuple[str, str]] = []
    usable: dict[str, list[Named]] = {}
    for event in events:
        if event.elsewhere:
            missing.append((event.name, _OF_ARM))
            continue
        places = _places(event, pmus, arch)
        for pmu, type_number in places:
            if pmu is not None and pmu.lacks(event):
                missing.append((event.name, f"not listed for {pmu.name}; r{event.config:x} counts it all the same"))
                continue
            numbers, error = _open_alone(event, type_number, attempt)
            if error in _REFUSED and not (event.name in _IN_KERNEL and counts_user_space(attempt)):
                return refusal_text(error), [], {}
            if error:
                missing.append((event.name, _why_missing(event, error, pmus)))
            else:
                name = "software" if event.software else pmu.name if pmu else event.pmu or "cpu"
                usable.setdefault(name, []).append((event.name, numbers))
    return "", missing, usable


def _places(event: Event, pmus: list[Pmu], arch: str) -> list[tuple[Pmu | None, int]]:
    """Where an event is to be counted: on every kind of core that the engine may run on, with that PMU's type."""
    if event.software:
        return [(None, TYPE_SOFTWARE)]
    if event.pmu:
        named = [pmu for pmu in pmus if pmu.name == event.pmu]
        if not named:
            here = ", ".join(pmu.name for pmu in pmus) or "none"
            raise Q4Error(f"event {shown(event.name)}: there is no PMU {shown(event.pmu)} on this machine, only {here}")
        return [(pmu, event.type if event.type is not None else pmu.type) for pmu in named]
    if event.type is not None:
        return [(None, event.type)]
    if arch in ARM and pmus:
        return [(pmu, pmu.type) for pmu in pmus]
    return [(None, TYPE_RAW)]


def _open_alone(event: Event, type_number: int, attempt: Try) -> tuple[Number, int]:
    """Software events happen in the kernel; where that may not be seen, those of user space alone."""
    for user_only in (False, True) if event.software else (True,):
        numbers = (type_number, event.config, user_only)
        error, _ = attempt([numbers])
        if not error or error not in _REFUSED:
            break
        if event.name in _IN_KERNEL:
            break
    return numbers, error


def counts_user_space(attempt: Try) -> bool:
    """Whether the kernel lets us count anything at all."""
    return not attempt([(TYPE_SOFTWARE, SOFTWARE_EVENTS["task-clock"], True)])[0]


def _why_missing(event: Event, error: int, pmus: list[Pmu]) -> str:
    if not event.software and not pmus:
        return _NO_PMU
    if error in _REFUSED:
        return "happens in the kernel, which is hidden; sudo sysctl kernel.perf_event_paranoid=1 shows it"
    return f"{os.strerror(error).lower()}"


def refusal_text(error: int) -> str:
    """One line: what keeps counters away, and what to change."""
    paranoid = read_text(PARANOID)
    if error == errno.ENOSYS:
        return "this kernel or emulator has no perf_event_open"
    if paranoid is not None and paranoid.lstrip("-").isdigit() and int(paranoid) > 2:
        return (
            f"the kernel refuses counters: perf_event_paranoid is {paranoid}; "
            "sudo sysctl kernel.perf_event_paranoid=2 allows them (Android: adb shell setprop security.perf_harden 0)"
        )
    setting = "" if paranoid is None else f" although perf_event_paranoid is {paranoid}"
    return (
        f"counters are refused{setting}: in a container, start it with --cap-add PERFMON "
        "--security-opt seccomp=unconfined"
    )


def _group(counters: Counters, usable: dict[str, list[Named]], attempt: Try) -> None:
    """Fills groups as far as the kernel lets them grow; cycles are in each, so that every count has its rate."""
    turns: list[list[int]] = [[]]
    always: list[int] = []
    for pmu, events in usable.items():
        groups = [events] if pmu == "software" else _pack(events, attempt)
        for turn, members in enumerate(groups):
            index = len(counters.groups)
            name = "sw" if pmu == "software" else f"g{sum(group.pmu != 'software' for group in counters.groups)}"
            names, numbers = zip(*members, strict=True)
            counters.groups.append(Group(name, pmu, names, numbers))
            if pmu == "software":
                always.append(index)
                continue
            while len(turns) <= turn:
                turns.append([])
            turns[turn].append(index)
    if counters.groups:
        counters.rotation = [tuple(sorted(turn + always)) for turn in turns]


def _pack(events: list[Named], attempt: Try) -> list[list[Named]]:
    anchor = [event for event in events if event[0] == CYCLES]
    groups: list[list[Named]] = []
    for event in [event for event in events if event[0] != CYCLES]:
        if groups and len(groups[-1]) < 12 and not attempt([numbers for _, numbers in [*groups[-1], event]])[0]:
            groups[-1].append(event)
        elif anchor and not attempt([anchor[0][1], event[1]])[0]:
            groups.append([*anchor, event])
        else:
            groups.append([event])
    return groups or [anchor]


def _add_migrations(counters: Counters, attempt: Try) -> None:
    """Counts migrations beside whatever counts in a call, for the capture's column of that name."""
    numbers = (TYPE_SOFTWARE, 4, False)
    if attempt([numbers])[0]:
        return
    if not counters.groups:
        counters.groups.append(Group("sw", "software", (), (numbers,), True))
        counters.rotation = [(0,)]
        return
    chosen = {next((i for i in turn if counters.groups[i].pmu == "software"), turn[0]) for turn in counters.rotation}
    for index in chosen:
        group = counters.groups[index]
        extended = [*group.numbers, numbers]
        if MIGRATIONS not in group.names and not attempt(extended)[0]:
            counters.groups[index] = Group(group.name, group.pmu, group.names, tuple(extended), True)
