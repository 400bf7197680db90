"""Which events a run counts: those that this machine has, in groups that fit it together.

What fits is found out by opening groups and closing them again. Groups that do not fit at the same time take turns
from call to call.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from analysis.events import ARM, SOFTWARE_EVENTS
from q4engine.errors import Q4Error, shown
from q4engine.machine import architecture, read_text
from q4engine.profiling.counters import MOST_GROUPS, SOFTWARE, Counters, Group
from q4engine.profiling.events import (
    CYCLES,
    MIGRATIONS,
    TYPE_RAW,
    TYPE_SOFTWARE,
    Event,
    NamedEvent,
    NativeEvent,
    TryGroup,
    parse_events,
)
from q4engine.profiling.pmus import Pmu, core_pmus

PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")

_REFUSED = (errno.EACCES, errno.EPERM, errno.ENOSYS)


def plan_counters(
    text: str,
    attempt: TryGroup,
    pmus: list[Pmu] | None = None,
    arch: str | None = None,
    cpus: Iterable[int] | None = None,
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
    if len(counters.groups) > MOST_GROUPS:
        raise Q4Error(f"--events: they make {len(counters.groups)} groups, at most {MOST_GROUPS} can take turns")
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
    events: list[Event], pmus: list[Pmu], arch: str, attempt: TryGroup
) -> tuple[str, list[tuple[str, str]], dict[str, list[NamedEvent]]]:
    """(refusal or '', events missing and why, events that open by themselves: PMU -> [(name, native event)])."""
    missing: list[tuple[str, str]] = []
    usable: dict[str, list[NamedEvent]] = {}
    for event in events:
        if event.elsewhere:
            missing.append((event.name, _OF_ARM))
            continue
        places = _places(event, pmus, arch)
        for pmu, type_number in places:
            if pmu is not None and pmu.lacks(event):
                missing.append((event.name, f"not listed for {pmu.name}; r{event.config:x} counts it all the same"))
                continue
            native, error = _open_alone(event, type_number, attempt)
            if error in _REFUSED and not (event.name in _IN_KERNEL and counts_user_space(attempt)):
                return refusal_text(error), [], {}
            if error:
                missing.append((event.name, _why_missing(event, error, pmus)))
            else:
                name = SOFTWARE if event.software else pmu.name if pmu else event.pmu or "cpu"
                usable.setdefault(name, []).append((event.name, native))
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


def _open_alone(event: Event, type_number: int, attempt: TryGroup) -> tuple[NativeEvent, int]:
    """Software events happen in the kernel; where that may not be seen, those of user space alone."""
    for user_only in (False, True) if event.software else (True,):
        native = (type_number, event.config, user_only)
        error, _ = attempt([native])
        if not error or error not in _REFUSED:
            break
        if event.name in _IN_KERNEL:
            break
    return native, error


def counts_user_space(attempt: TryGroup) -> bool:
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


def _group(counters: Counters, usable: dict[str, list[NamedEvent]], attempt: TryGroup) -> None:
    """Fills groups as far as the kernel lets them grow; cycles are in each, so that every count has its rate."""
    turns: list[list[int]] = [[]]
    always: list[int] = []
    for pmu, events in usable.items():
        groups = [events] if pmu == SOFTWARE else _pack(events, attempt)
        for turn, members in enumerate(groups):
            index = len(counters.groups)
            name = "sw" if pmu == SOFTWARE else f"g{sum(group.pmu != SOFTWARE for group in counters.groups)}"
            names, native = zip(*members, strict=True)
            counters.groups.append(Group(name, pmu, names, native))
            if pmu == SOFTWARE:
                always.append(index)
                continue
            while len(turns) <= turn:
                turns.append([])
            turns[turn].append(index)
    if counters.groups:
        counters.rotation = [tuple(sorted(turn + always)) for turn in turns]


def _pack(events: list[NamedEvent], attempt: TryGroup) -> list[list[NamedEvent]]:
    anchor = [event for event in events if event[0] == CYCLES]
    groups: list[list[NamedEvent]] = []
    for event in [event for event in events if event[0] != CYCLES]:
        if groups and len(groups[-1]) < 12 and not attempt([native for _, native in [*groups[-1], event]])[0]:
            groups[-1].append(event)
        elif anchor and not attempt([anchor[0][1], event[1]])[0]:
            groups.append([*anchor, event])
        else:
            groups.append([event])
    return groups or [anchor]


def _add_migrations(counters: Counters, attempt: TryGroup) -> None:
    """Counts migrations beside whatever counts in a call, for the capture's column of that name."""
    native = (TYPE_SOFTWARE, 4, False)
    if attempt([native])[0]:
        return
    if not counters.groups:
        counters.groups.append(Group("sw", SOFTWARE, (), (native,), True))
        counters.rotation = [(0,)]
        return
    chosen = {next((i for i in turn if counters.groups[i].pmu == SOFTWARE), turn[0]) for turn in counters.rotation}
    for index in chosen:
        group = counters.groups[index]
        extended = [*group.events, native]
        if MIGRATIONS not in group.names and not attempt(extended)[0]:
            counters.groups[index] = Group(group.name, group.pmu, group.names, tuple(extended), True)
