"""The charts of a sweep, each of one phase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from analysis import palette
from analysis.calls import WAITING
from analysis.reports.charts import Axis, Bar, Bars, Box, Boxes, Heat, Kind, Part, Plot, Series
from analysis.reports.model import fixed
from analysis.sweep_results import SweepResults, Times, said, varied

NUMBERS = ("threads", "prompt", "generate", "depth", "batch")
_MOST_LINES = 8
_MOST_GROUPS = 8
_MOST_BOXES = 40
_MOST_BARS = 16
_MOST_CELLS = 2500
_UNITS = {"load": "loads/s", "whole": "runs/s"}


def unit(phase: str) -> str:
    """What a phase's speed is counted in."""
    return _UNITS.get(phase, "tokens/s")


def rate(times: Times, row: int) -> float:
    """By the median time."""
    return 1.0 / float(np.median(times.of(row)))


def groups(times: Times, without: Sequence[str]) -> dict[tuple[Any, ...], list[int]]:
    """Setups that differ in the axes ``without`` alone, by their values of the others."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for row, setup in enumerate(times.setups):
        found.setdefault(tuple(value for axis, value in setup.values.items() if axis not in without), []).append(row)
    return found


def speed_ups(times: Times) -> Iterator[Plot]:
    """For all that is alike but for threads and prompt: a line a prompt length over the threads, and the ideal."""
    axes = [axis for axis in varied(times.setups) if axis not in ("threads", "prompt")]
    for rows in list(groups(times, ("threads", "prompt")).values())[:_MOST_GROUPS]:
        by_place = {(times.setups[row].values["threads"], times.setups[row].values["prompt"]): row for row in rows}
        threads = sorted({count for count, _ in by_place if count is not None})
        if len(threads) < 2:
            continue
        prompts = sorted({prompt for _, prompt in by_place if prompt is not None}) or [None]
        ideal = tuple((float(count), count / threads[0]) for count in threads)
        lines = [Series("ideal", palette.FAINT, ideal, Kind.RULE, dashed=True)]
        for number, prompt in enumerate(prompts[:_MOST_LINES]):
            lines.append(_speed_up(times, by_place, threads, prompt, number))
        name = times.setups[rows[0]].name(axes) if axes else ""
        x = Axis("threads", low=0.0, ticks=tuple(map(float, threads)))
        y = Axis(f"speed-up over {_threads(threads[0])}", low=0.0)
        yield Plot(f"{times.phase}: speed-up" + (f", {name}" if name else ""), x, y, tuple(lines))


def _speed_up(
    times: Times, by_place: Mapping[tuple[Any, Any], int], threads: Sequence[int], prompt: Any, number: int
) -> Series:
    base = by_place.get((threads[0], prompt))
    gains = [
        (float(count), rate(times, by_place[count, prompt]) / rate(times, base))
        for count in threads
        if base is not None and (count, prompt) in by_place
    ]
    name = "all" if prompt is None else f"{prompt} tokens"
    tips = tuple(f"{name}: {gain:.3g} times as fast with {_threads(int(count))}" for count, gain in gains)
    return Series(name, palette.SERIES[number], tuple(gains), Kind.LINE, tips, mark=number)


def speeds(times: Times) -> Iterator[Plot]:
    """Over each axis of numbers that varies: a line for everything else, and its interval's middle as points."""
    for axis in [axis for axis in varied(times.setups) if axis in NUMBERS]:
        others = [each for each in varied(times.setups) if each != axis]
        found = [rows for rows in groups(times, (axis,)).values() if len(rows) > 1]
        for at in range(0, min(len(found), _MOST_LINES * 3), _MOST_LINES):
            lines = [
                _over(times, axis, rows, others, number) for number, rows in enumerate(found[at : at + _MOST_LINES])
            ]
            ticks = tuple(sorted({x for line in lines for x, _ in line.points}))
            log = ticks[0] > 0 and ticks[-1] / ticks[0] > 8
            more = f" ({at // _MOST_LINES + 1})" if at else ""
            x = Axis(f"{axis} (tokens)" if axis != "threads" else axis, log=log, low=None if log else 0.0, ticks=ticks)
            yield Plot(f"{times.phase}: speed over {axis}{more}", x, Axis(unit(times.phase), low=0.0), tuple(lines))


def _over(times: Times, axis: str, rows: Sequence[int], others: Sequence[str], number: int) -> Series:
    points = sorted((float(times.setups[row].values[axis]), rate(times, row)) for row in rows)
    name = times.setups[rows[0]].name(others)
    tips = tuple(f"{name}: {speed:.4g} {unit(times.phase)} at {axis} {x:g}" for x, speed in points)
    return Series(name, palette.SERIES[number], tuple(points), Kind.LINE, tips, mark=number)


def spread(times: Times) -> Boxes:
    """A box a setup: every sample's speed."""
    axes = varied(times.setups)
    boxes = []
    for row, setup in list(enumerate(times.setups))[:_MOST_BOXES]:
        speed = 1.0 / np.array(times.samples[row])
        least, first, middle, third, most = (float(value) for value in np.percentile(speed, (0, 25, 50, 75, 100)))
        name = setup.name(axes)
        tip = f"{name}: {len(speed)} samples, {least:.4g} to {most:.4g}, half of them {first:.4g} to {third:.4g}"
        hue = palette.phase(times.phase)
        boxes.append(Box(name, (least, first, middle, third, most), hue, tip, f"{middle:.4g}"))
    more = f", the first {_MOST_BOXES} of {len(times.setups)}" if len(times.setups) > _MOST_BOXES else ""
    return Boxes(f"{times.phase}: every sample{more}", unit(times.phase), tuple(boxes))


def heats(times: Times) -> Iterator[Heat]:
    """Speed over the two axes with most values, one map for everything else."""
    several = varied(times.setups)
    axes = sorted(several, key=lambda axis: (axis not in NUMBERS, -len({s.values[axis] for s in times.setups})))[:2]
    if len(axes) < 2:
        return
    x, y = axes
    others = [axis for axis in several if axis not in axes]
    for rows in list(groups(times, axes).values())[:_MOST_GROUPS]:
        by_place = {(times.setups[row].values[x], times.setups[row].values[y]): row for row in rows}
        columns, lines = (_in_order({place[which] for place in by_place}) for which in range(2))
        if len(columns) < 2 or len(lines) < 2 or len(columns) * len(lines) > _MOST_CELLS:
            continue
        values = tuple(
            tuple(rate(times, by_place[column, line]) if (column, line) in by_place else None for column in columns)
            for line in lines
        )
        name = times.setups[rows[0]].name(others) if others else ""
        across, below = (tuple(_short(axis, value) for value in found) for axis, found in ((x, columns), (y, lines)))
        title = f"{times.phase}: {x} × {y}" + (f", {name}" if name else "")
        yield Heat(title, unit(times.phase), x, y, across, below, values, palette.phase(times.phase))


def _in_order(values: set[Any]) -> list[Any]:
    return sorted(values, key=lambda value: (value is None, 0 if value is None else value))


def _short(axis: str, value: Any) -> str:
    return "–" if value is None else str(value) if axis in NUMBERS else said(axis, value)


def front(times: Times) -> Plot | None:
    """Speed against the model's size, and the front of those that none beats in both; None where sizes are alike."""
    known = [row for row, setup in enumerate(times.setups) if setup.model_size]
    if len({times.setups[row].model_size for row in known}) < 2:
        return None
    axes = varied(times.setups)
    points = {row: (float(times.setups[row].model_size or 0) / 1e6, rate(times, row)) for row in known}
    best = on_front(points)
    dots = [
        Series(
            "on the front" if is_best else "beaten in both",
            palette.BETTER if is_best else palette.OTHER,
            tuple(points[row] for row in rows),
            Kind.DOTS,
            tuple(f"{times.setups[row].name(axes)}: {points[row][0]:.4g} MB, {points[row][1]:.4g}" for row in rows),
            tuple(times.setups[row].name(axes) for row in rows) if is_best and len(rows) <= 6 else (),
            mark=number,
        )
        for number, is_best in enumerate((True, False))
        if (rows := [row for row in known if (row in best) == is_best])
    ]
    line = Series("", palette.BETTER, tuple(sorted(points[row] for row in best)), Kind.RULE)
    x, y = Axis("tensors (MB)", low=0.0), Axis(unit(times.phase), low=0.0)
    return Plot(f"{times.phase}: speed against size", x, y, (line, *dots))


def on_front(points: Mapping[int, tuple[float, float]]) -> set[int]:
    """Those that no other beats in both: smaller or as small, and faster (or smaller, and as fast)."""
    found, fastest = set[int](), -1.0
    for row, (_, speed) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if speed > fastest:
            found.add(row)
            fastest = speed
    return found


def parts(results: SweepResults, times: Times) -> Bars | None:
    """A bar a setup: milliseconds a token by operation, of the pass that timed them; None where none did."""
    axes = varied(times.setups)
    bars: list[Bar] = []
    for setup in times.setups:
        by_name = results.components.get((setup.known_by, times.phase))
        if by_name and len(bars) < _MOST_BARS:
            bars.append(_bar(setup.name(axes), by_name))
    if not bars:
        return None
    title = f"{times.phase}: what a token's time is made of"
    return Bars(title, "ms a token", tuple(bars), decimals=fixed([bar.total for bar in bars]))


def _bar(name: str, by_name: Mapping[str, float]) -> Bar:
    waited = 1e3 * sum(seconds for part, seconds in by_name.items() if part in WAITING)
    worked = sorted(((1e3 * s, part) for part, s in by_name.items() if part not in WAITING and s > 0), reverse=True)
    shown = [
        Part(part, value, palette.operation(part), f"{name}, {part}: {value:.3g} ms a token") for value, part in worked
    ]
    if waited > 0:
        shown.append(Part("waiting", waited, palette.WAITING, f"{name}, waiting: {waited:.3g} ms a token"))
    total = sum(part.value for part in shown)
    return Bar(name, tuple(shown), f"{total:.3g} ms a token")


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"
