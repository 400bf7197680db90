"""Faults of a run and what is to be changed, from what was measured and what the machine tells; never from speed alone.

Each rule names a fault or says why it is ruled out. What a change is expected to bring is computed, and marked so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from q4engine.bench.statistics import median
from q4engine.bench.sustained import judge
from q4engine.explain.granted import Clock
from q4engine.explain.measuring import Measured, Way
from q4engine.explain.surroundings import Surroundings

OTHERS_PERCENT = 25.0
"""Percent of one CPU: less comes and goes on any machine."""
STOPPED, DELAYED, STOLEN = 0.05, 0.05, 0.05
"""Shares of the time from which on a control group's stops, waiting for a CPU and the hypervisor are faults."""
NEAR_LIMIT = 0.7
"""Share of a limit from which on it bounds a phase."""
LOWER_CLOCK = 0.9
"""Share of a clock below which another one is lower: they swing by some percent."""
WALK_NS = 20.0
"""That a thread may lose for each small page which it reads: its place is looked up in tables that the caches hold."""
PAGE = 4096
CHEAP_GAIN, DEAR_GAIN = 1.01, 1.05
"""Computed gains from which on small pages are a fault: where a setting changes them, and where memory must be had."""


@dataclass(frozen=True)
class Change:
    """What to do, in words; the way to run that it makes, where it can be tried here; how many times as fast that is to
    be, and how this was computed."""

    text: str
    way: Way | None = None
    gain: float = math.nan
    computed: str = ""


@dataclass(frozen=True)
class Cause:
    """A fault. evidence: what tells of it. weight: about how many times as fast it would be without, to rank by."""

    name: str
    evidence: str
    change: Change
    weight: float


Found = Cause | str
"""A fault, or why it is none."""


def causes(measured: Measured, around: Surroundings) -> tuple[list[Cause], dict[str, str]]:
    """The faults, the gravest first, and what was ruled out, by name."""
    found = {name: rule(measured, around) for name, rule in _RULES.items()}
    faults = [cause for cause in found.values() if isinstance(cause, Cause)]
    ruled_out = {name: why for name, why in found.items() if isinstance(why, str)}
    return sorted(faults, key=lambda cause: -cause.weight), ruled_out


def _percent(measured: Measured, key: str) -> float:
    return measured.taken.get(key, math.nan) / 100


def _shown(share: float) -> str:
    return "not told" if math.isnan(share) else f"{100 * share:.0f} %"


def _quota(measured: Measured, around: Surroundings) -> Found:
    n, quota, stopped = measured.way.n_threads, around.quota, measured.stopped
    if quota is None:
        return "the control groups have no limit"
    if quota >= n - 0.5 and not (stopped or 0.0) >= STOPPED:
        return f"the control group's {quota:.2g} CPUs are enough for {n} threads"
    told = "" if stopped is None else f"; it was stopped {100 * stopped:.0f} % of the time"
    evidence = f"the control group has {quota:.2g} CPUs' time for {n} threads{told}"
    fewer = max(1, min(around.best, int(quota + 0.5)))
    if fewer >= n:
        return Cause("quota", evidence, Change("allow the control group more time (cpu.max)"), 1 / quota + 1)
    # stopped for the rest of each period, the threads had quota / n of their time; fewer have all of it
    gain = fewer / min(quota, n) if stopped is None else fewer / n / max(1 - stopped, quota / n, 0.01)
    change = Change(
        f"{fewer} thread{'s' * (fewer > 1)}, as many as the quota has time for, or a larger quota",
        Way(fewer),
        max(1.0, gain),
        "from the share of the time in which it was not stopped",
    )
    return Cause("quota", evidence, change, n / quota)


def _threads(measured: Measured, around: Surroundings) -> Found:
    n, cpus = measured.way.n_threads, len(measured.way.cpus or around.available)
    if n > cpus:
        evidence = f"{n} threads take turns on {cpus} CPU{'s' * (cpus > 1)}, and wait for each other at every operation"
        best = min(around.best, cpus)
        how = "at least: each CPU's time goes to one thread and not to several"
        change = Change(f"{best} thread{'s' * (best > 1)}", Way(best, measured.way.cpus), n / cpus, how)
        return Cause("threads", evidence, change, n / cpus * 2)
    if n < around.best and measured.way.cpus is None:
        gain = around.best / n
        change = Change(f"{around.best} threads", Way(around.best), gain, _more_threads(measured, around.best))
        return Cause("threads", f"{n} of {around.best} cores are used", change, gain)
    return f"{n} thread{'s' * (n > 1)} on {cpus} CPUs"


def _more_threads(measured: Measured, more: int) -> str:
    """How the gain was computed: memory is shared, so a generation gains what the read peak does."""
    peaks, n = measured.peaks, measured.way.n_threads
    if n not in peaks or more not in peaks:
        return "at most: in proportion to the threads, if memory keeps up"
    read = f"{peaks[n]:.3g} to {peaks[more]:.3g} GB/s"
    return f"at most, of prompts; generation {peaks[more] / peaks[n]:.2f} times by what so many threads read: {read}"


def _unlike_cores(measured: Measured, around: Surroundings) -> Found:
    used = measured.way.cpus or around.available
    slow = [cpu for cpu in used if cpu in around.slow]
    fast = [cpu for cpu in used if cpu in around.fast]
    if not slow:
        return "the CPUs are alike"
    if measured.way.n_threads <= len(fast) and measured.way.cpus is None:
        return f"{measured.way.n_threads} threads have room on the {len(fast)} fast ones of {len(used)} CPUs"
    fastest, slowest = max(around.speeds.values()), min(around.speeds[cpu] for cpu in slow)
    share = f"{100 * slowest / fastest:.0f} % of the fastest's speed"
    evidence = f"{len(slow)} of {len(used)} CPUs have {share} and hold it up"
    all_alike = len(used) * slowest
    gain = sum(around.speeds[cpu] for cpu in fast) / all_alike
    change = Change(
        f"the {len(fast)} fast ones alone",
        Way(len(fast), tuple(fast)),
        max(1.0, gain),
        "at most: by the CPUs' speeds, if all wait for the slowest",
    )
    return Cause("unlike cores", evidence, change, max(1.5, gain))


def _load(measured: Measured, around: Surroundings) -> Found:
    others, delayed = measured.taken.get("others_percent_of_cpu", math.nan), _percent(measured, "run_delay_percent")
    if measured.way.n_threads > len(around.available):
        return f"others used {_shown(others / 100)} of one CPU; what that costs, threads that take turns hide"
    if math.isnan(others):
        return "too short to tell what others took"
    if not (others >= OTHERS_PERCENT and not delayed < DELAYED):
        return f"others used {others:.0f} % of one CPU, threads waited {_shown(delayed)} of the time for one"
    evidence = f"other programs used {others:.0f} % of one CPU; threads waited {_shown(delayed)} of the time for one"
    gain, how = _without_delay(measured)
    fewer = measured.way.n_threads - max(1, round(others / 100))
    way = Way(fewer, measured.way.cpus[:fewer] if measured.way.cpus else None) if fewer >= 1 else None
    leave = f", or leave them a CPU: {fewer} thread{'s' * (fewer > 1)}" if way else ""
    return Cause("load", evidence, Change(f"end other programs{leave}", way, gain, how), gain)


def _without_delay(measured: Measured) -> tuple[float, str]:
    """How many times as fast it is where no thread waits for a CPU."""
    delayed = _percent(measured, "run_delay_percent")
    if not 0 < delayed < 1:
        return math.nan, ""
    return 1 / (1 - delayed), "at most: if no thread waits for a CPU any more"


def _hypervisor(measured: Measured, around: Surroundings) -> Found:
    stolen = _percent(measured, "steal_percent")
    if not stolen >= STOLEN:
        return f"time stolen: {_shown(stolen)}"
    evidence = f"the hypervisor took {100 * stolen:.0f} % of the CPUs' time"
    change = Change("another host, or CPUs of its own", None, 1 / (1 - min(stolen, 0.99)), "if it takes none any more")
    return Cause("hypervisor", evidence, change, change.gain)


def _throttling(measured: Measured, around: Surroundings) -> Found:
    verdict = judge(measured.samples, measured.taken.get("others_percent_of_cpu"))
    if verdict is None:
        return "too short to tell"
    if not verdict.throttled:
        told = measured.samples[0].reading.mhz is not None
        return "the clock held" if told else "the machine tells no clock, and nothing tells of throttling"
    change = Change("cool the machine, or rest between runs; q4engine bench --sustain shows it over time")
    return Cause("throttling", verdict.text, change, verdict.first / verdict.last)


def _huge_pages(measured: Measured, around: Surroundings) -> Found:
    pages, decode = measured.pages, measured.decode
    if pages is None or pages.setting is None or (pages.huge is None and pages.setting != "never"):
        return "this kernel has none, or does not tell"
    had = f"{(pages.huge or 0) / 1e6:.0f} MB in huge pages, a token reads {pages.weights / 1e6:.0f} MB"
    seconds = median(decode.seconds) / decode.test.n_tokens
    walks = pages.small * pages.weights / PAGE * WALK_NS * 1e-9 / min(measured.way.n_threads, len(around.available))
    gain = 1 / (1 - min(0.5, walks / seconds))
    never = pages.setting == "never"
    if gain < (CHEAP_GAIN if never else DEAR_GAIN):
        return f"{had}; the rest costs {100 * (gain - 1):.1f} % at most"
    change = Change(
        "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled, then load it again"
        if never
        else "more memory in whole pieces (echo 1 | sudo tee /proc/sys/vm/compact_memory), then load it again",
        None,
        gain,
        f"at most, of generation: {WALK_NS:.0f} ns for each page of 4 KB that a thread reads",
    )
    return Cause("huge pages", f"{had}; the kernel's setting is {pages.setting}", change, gain)


def _clock_limit(measured: Measured, around: Surroundings) -> Found:
    clocks = _clocks_used(measured, around)
    limited = [c for c in clocks if c.highest and c.allowed and c.allowed < LOWER_CLOCK * c.highest]
    if not limited:
        return (
            "the CPUs may run at their highest clock" if clocks else "the kernel sets no clocks here, or does not tell"
        )
    one = min(limited, key=lambda clock: _ratio(clock.allowed, clock.highest))
    of = f"{(one.allowed or 0) / 1e3:.0f} of {(one.highest or 0) / 1e3:.0f} MHz"
    evidence = f"{len(limited)} of {len(clocks)} CPUs may run at {of} at most (scaling_max_freq)"
    cooled = any(sample.reading.cooling for sample in measured.samples)
    text = (
        "cool the machine: the kernel's cooling has lowered it"
        if cooled
        else f"echo {one.highest} | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_max_freq"
    )
    gain = 1 / _ratio(one.allowed, one.highest)
    return Cause("clock limit", evidence, Change(text, None, gain, _BY_CLOCK), gain)


def _governor(measured: Measured, around: Surroundings) -> Found:
    clocks = [clock for clock in _clocks_used(measured, around) if clock.governor and clock.allowed]
    names = ", ".join(dict.fromkeys(str(clock.governor) for clock in clocks))
    if not clocks or all(clock.chooses for clock in clocks):
        return f"the CPUs choose their clocks themselves ({names})" if clocks else "the kernel tells of none"
    if all(clock.governor == "performance" for clock in clocks):
        return "performance"
    told = [sample.reading.mhz for sample in measured.samples if sample.reading.mhz is not None]
    allowed = max(clock.allowed or 0 for clock in clocks) / 1e3
    ran = median(told) if told else _slowest_mhz(clocks)
    if ran is None or ran >= LOWER_CLOCK * allowed:
        return f"{names}: the CPUs ran at " + ("clocks that nothing tells" if ran is None else f"{ran:.0f} MHz")
    evidence = f"the governor {names} had the CPUs at {ran:.0f} of {allowed:.0f} MHz"
    text = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return Cause("governor", evidence, Change(text, None, allowed / ran, _BY_CLOCK), allowed / ran)


_BY_CLOCK = "at most: in proportion to the clock, if memory keeps up"


def _clocks_used(measured: Measured, around: Surroundings) -> list[Clock]:
    used = measured.way.cpus or around.fast[: max(1, measured.way.n_threads)]
    return [around.clocks[cpu] for cpu in used if cpu in around.clocks]


def _ratio(one: int | None, other: int | None) -> float:
    return (one or 1) / (other or 1)


def _slowest_mhz(clocks: list[Clock]) -> float | None:
    """The governor powersave is that of the lowest clock, where the CPU does not choose it."""
    if any(clock.governor != "powersave" or clock.chooses or not clock.lowest for clock in clocks):
        return None
    return max(clock.lowest or 0 for clock in clocks) / 1e3


_RULES: dict[str, Callable[[Measured, Surroundings], Found]] = {
    "quota": _quota,
    "threads": _threads,
    "unlike cores": _unlike_cores,
    "load": _load,
    "hypervisor": _hypervisor,
    "throttling": _throttling,
    "clock limit": _clock_limit,
    "governor": _governor,
    "huge pages": _huge_pages,
}


def bound(measured: Measured, name: str) -> str:
    """What bounds a phase, by how much of the machine's limit it reaches."""
    phase = measured.phases[name]
    share = phase.of_limit
    if math.isnan(share):
        return "no limit was measured"
    what = {"GB/s": "reading the weights", "GOP/s": "int8 products"}.get(phase.unit, phase.unit)
    of = f"{100 * share:.0f} % of {phase.limit:.3g} {phase.unit}, the most that this machine gave beside it"
    return f"bound by {what}: {of}" if share >= NEAR_LIMIT else f"not bound by {what}: {of}"
