"""Call chains of samples for other tools: collapsed stacks, and profiles for speedscope."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from analysis.errors import printable
from analysis.perf_script import Frame, Sample

_LONGEST = 200  # characters of a function's name
_UNKNOWN = "[unknown]"
_NANOSECONDS = ("cpu-clock", "task-clock")
"""Events whose period is a time."""

Phases = Mapping[str, Sequence[Sample]]


def stack(sample: Sample) -> tuple[Frame, ...]:
    """The sample's frames, the outermost first; names are printable."""
    inner = (sample.symbol, sample.image)
    return tuple((name(symbol), image) for symbol, image in (*reversed(sample.callers), inner))


def name(symbol: str) -> str:
    """A function's name as tools take it."""
    return printable(symbol or _UNKNOWN, _LONGEST).replace(";", ":")


def by_event(phases: Phases) -> Iterator[tuple[str, str, list[Sample]]]:
    """(phase, event, its samples in their order)."""
    for phase, samples in phases.items():
        of_events: dict[str, list[Sample]] = {}
        for sample in samples:
            of_events.setdefault(sample.event, []).append(sample)
        yield from ((phase, event, found) for event, found in of_events.items())


def summed(samples: Iterable[Sample]) -> dict[tuple[Frame, ...], float]:
    """Events of each stack."""
    found: dict[tuple[Frame, ...], float] = {}
    for sample in samples:
        frames = stack(sample)
        found[frames] = found.get(frames, 0.0) + sample.period
    return found


def collapsed(phases: Phases) -> str:
    """A line a stack: phase, event where there are several, functions from the outermost on, and its events."""
    several = len({sample.event for samples in phases.values() for sample in samples}) > 1
    lines: list[str] = []
    for phase, event, samples in by_event(phases):
        head = [name(phase), *([name(event)] if several else [])]
        sums: dict[str, float] = {}
        for frames, amount in summed(samples).items():
            line = ";".join([*head, *(symbol for symbol, _ in frames)])
            sums[line] = sums.get(line, 0.0) + amount  # one function of several images
        lines += [f"{line} {amount:.0f}" for line, amount in sums.items()]
    return "".join(f"{line}\n" for line in lines)


def speedscope(phases: Phases, title: str) -> str:
    """A profile for each phase and event, samples in the order of their times."""
    numbers: dict[Frame, int] = {}
    profiles: list[dict[str, Any]] = []
    for phase, event, samples in by_event(phases):
        ordered = sorted(samples, key=lambda sample: sample.time_s)
        weights = [sample.period for sample in ordered]
        profiles.append(
            {
                "type": "sampled",
                "name": f"{printable(phase)}, {printable(event)}",
                "unit": "nanoseconds" if event in _NANOSECONDS else "none",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": [[numbers.setdefault(frame, len(numbers)) for frame in stack(each)] for each in ordered],
                "weights": weights,
            }
        )
    frames = [{"name": symbol, "file": printable(image, 1000)} for symbol, image in numbers]
    document = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": title,
        "exporter": "analysis.functions",
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
        "profiles": profiles,
    }
    return json.dumps(document) + "\n"
