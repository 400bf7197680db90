"""Speed over minutes: what generation does while clock and temperature change, and what made it slower."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from q4engine.bench.power import Meter
from q4engine.bench.statistics import mean, median
from q4engine.machine import CPUINFO, read_text

SYSFS = Path("/sys")
INTERVAL = 1.0
"""Seconds of a sample; longer ones where there would be more than MOST."""
MOST = 600
FALL = 0.05
"""A speed or clock that ends so much below where it began has fallen: repetitions differ by less."""
OTHERS_LIMIT = 10.0
"""Percent of one CPU that others may use before they are named."""


@dataclass(frozen=True)
class Reading:
    """The machine at a moment, None where it does not tell. mhz: of the fastest CPUs, as many as there are threads.

    throttles: events that the CPUs have counted. cooling: how far the kernel's cooling of CPUs is turned on, in its own
    steps. allowed: the highest share of its frequency that a CPU may have now.
    """

    mhz: float | None = None
    celsius: float | None = None
    throttles: int | None = None
    cooling: int | None = None
    allowed: float | None = None


@dataclass(frozen=True)
class Sample:
    """``start`` to ``end`` in seconds since the beginning; ``rate`` in tokens a second; the reading at its end."""

    start: float
    end: float
    rate: float
    reading: Reading
    watts: float | None = None


@dataclass(frozen=True)
class Verdict:
    """first, last: median tokens a second of the first and the last tenth. since: when it fell, None where it did
    not. throttled: None where nothing tells why it fell."""

    first: float
    last: float
    since: float | None
    throttled: bool | None
    text: str

    @property
    def change(self) -> float:
        return self.last / self.first - 1.0


def read_machine(n_threads: int, sysfs: Path = SYSFS, cpuinfo: Path = CPUINFO) -> Reading:
    """What sysfs (and on x86 /proc/cpuinfo) tells now."""
    cpus = sysfs / "devices" / "system" / "cpu"
    khz = _numbers(cpus, "cpu[0-9]*/cpufreq/scaling_cur_freq")
    mhz = [value / 1e3 for value in khz] or _cpuinfo_mhz(cpuinfo)
    thermal = sysfs / "class" / "thermal"
    celsius = _numbers(thermal, "thermal_zone*/temp")
    cooling = [
        int(text)
        for device in sorted(thermal.glob("cooling_device*"))
        if any(word in (read_text(device / "type") or "").lower() for word in ("cpufreq", "processor", "cpu-"))
        and (text := read_text(device / "cur_state") or "").isdigit()
    ]
    allowed = [
        now / most
        for folder in sorted(cpus.glob("cpu[0-9]*/cpufreq"))
        for now in _numbers(folder, "scaling_max_freq")
        for most in _numbers(folder, "cpuinfo_max_freq")
        if most > 0
    ]
    events = _numbers(cpus, "cpu[0-9]*/thermal_throttle/*_throttle_count")
    return Reading(
        mean(sorted(mhz)[-n_threads:]) if mhz else None,
        max(celsius) / 1e3 if celsius else None,
        sum(events) if events else None,
        max(cooling) if cooling else None,
        max(allowed) if allowed else None,
    )


def _numbers(folder: Path, pattern: str) -> list[int]:
    texts = (read_text(path) or "" for path in sorted(folder.glob(pattern)))
    return [int(text) for text in texts if text.lstrip("-").isdigit() and len(text) < 20]


def _cpuinfo_mhz(cpuinfo: Path) -> list[float]:
    lines = (read_text(cpuinfo) or "").splitlines()
    words = [line.partition(":")[2].strip() for line in lines if line.startswith("cpu MHz")]
    return [float(word) for word in words if word.replace(".", "", 1).isdigit()]


def interval_of(seconds: float) -> float:
    """How long a sample is in a run of so many seconds."""
    return max(INTERVAL, seconds / MOST)


def sustain(
    step: Callable[[], int],
    read: Callable[[], Reading],
    seconds: float,
    samples: list[Sample],
    meter: Meter | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Repeats ``step``, which tells how many tokens it did, for that time; ``samples`` grows meanwhile, so that they
    are there also where the run is interrupted."""
    length, begin = interval_of(seconds), clock()
    start, tokens = begin, 0
    if meter is not None:
        meter.start()
    while start - begin < seconds:
        tokens += step()
        now = clock()
        if now - start < length:
            continue
        watts = None
        if meter is not None:
            meter.look()
            energy = meter.take()
            watts = energy.joules / (now - start) if energy.spent else None
        samples.append(Sample(start - begin, now - begin, tokens / (now - start), read(), watts))
        start, tokens = now, 0


# ---- what it came to -------------------------------------------------------------------------------------------------


def judge(samples: Sequence[Sample], others_percent: float | None = None) -> Verdict | None:
    """Whether the speed fell, and what made it; None of fewer than four samples."""
    if len(samples) < 4:
        return None
    n = max(1, len(samples) // 10)
    head, tail = samples[:n], samples[-n:]
    first, last = (median([sample.rate for sample in part]) for part in (head, tail))
    fell = last < (1 - FALL) * first
    since = _since(samples, (1 - FALL) * first) if fell else None
    told = _evidence(head, samples)
    speeds = f"{first:.2f} to {last:.2f} tokens/s ({100 * (last / first - 1):+.1f} %)"
    if not fell:
        found = f"steady, {speeds}" + (f", though {' and '.join(told)}" if told else "")
        return Verdict(first, last, None, False, found)
    at = f"from second {since:.0f} on" if since is not None else "in the end"
    if told:
        return Verdict(first, last, since, True, f"throttled {at}, {speeds}: {' and '.join(told)}{_heat(tail)}")
    if others_percent is not None and others_percent > OTHERS_LIMIT:
        why = f"others used {others_percent:.0f} % of a CPU meanwhile"
        return Verdict(first, last, since, False, f"slower {at}, {speeds}: {why}")
    known = any(sample.reading.mhz is not None for sample in samples)
    why = "the clock did not fall, and nothing tells of throttling" if known else "the machine tells no clock"
    return Verdict(first, last, since, None, f"slower {at}, {speeds}: {why}{_heat(tail)}")


def _evidence(head: Sequence[Sample], samples: Sequence[Sample]) -> list[str]:
    """What tells of throttling, in words."""
    told, tail = [], samples[-len(head) :]
    before, after = ([s.reading.mhz for s in part if s.reading.mhz is not None] for part in (head, tail))
    if before and after and median(after) < (1 - FALL) * median(before):
        told.append(f"the clock fell from {median(before):.0f} to {median(after):.0f} MHz")
    began, ended = samples[0].reading, samples[-1].reading
    if began.throttles is not None and ended.throttles is not None and ended.throttles > began.throttles:
        told.append(f"the CPUs counted {ended.throttles - began.throttles} throttlings")
    cooling = [sample.reading.cooling for sample in samples if sample.reading.cooling is not None]
    if cooling and max(cooling) > cooling[0]:
        told.append(f"the kernel's cooling rose to step {max(cooling)}")
    if began.allowed is not None and ended.allowed is not None and ended.allowed < began.allowed - 0.01:
        told.append(f"no more than {ended.allowed:.0%} of the highest clock is allowed")
    return told


def _heat(tail: Sequence[Sample]) -> str:
    celsius = [sample.reading.celsius for sample in tail if sample.reading.celsius is not None]
    return f", at {median(celsius):.0f} °C" if celsius else ""


def _since(samples: Sequence[Sample], limit: float) -> float | None:
    """When the speed went below the limit to stay there, but for single samples."""
    since = None
    for at, sample in enumerate(samples):
        around = [near.rate for near in samples[max(0, at - 1) : at + 2]]
        if median(around) >= limit:
            since = None
        elif since is None:
            since = sample.start
    return since


def as_data(samples: Sequence[Sample], verdict: Verdict | None) -> dict[str, Any]:
    """All of it, for JSON."""
    rows = [
        {"start_s": s.start, "end_s": s.end, "tokens_per_second": s.rate, **asdict(s.reading), "watts": s.watts}
        for s in samples
    ]
    return {"verdict": None if verdict is None else {**asdict(verdict), "change": verdict.change}, "samples": rows}
