"""Charts of a sweep's operations: their time over lengths and depths, and how threads help each; fitted laws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from analysis import palette
from analysis.calls import WAITING
from analysis.laws import HOLDS, laws
from analysis.reports.charts import Axis, Kind, Plot, Series
from analysis.reports.model import Cell, Column, Table
from analysis.reports.sweep_charts import NUMBERS, groups, rate
from analysis.sweep_results import SweepResults, Times, varied

_MOST_LINES = 8
_MOST_GROUPS = 4


def parts_over(results: SweepResults, times: Times) -> Iterator[Plot]:
    """Milliseconds a token of the leading operations over each axis of numbers that varies."""
    for axis in [axis for axis in varied(times.setups) if axis in NUMBERS]:
        for name, rows in _with_parts(results, times, axis):
            found = {row: results.components[times.setups[row].known_by, times.phase] for row in rows}
            at = {row: float(times.setups[row].values[axis]) for row in rows}
            lines = []
            for number, part in enumerate(_leading(list(found.values()))):
                points = sorted((at[row], 1e3 * by_name[part]) for row, by_name in found.items() if part in by_name)
                tips = tuple(f"{part}: {value:.3g} ms a token at {axis} {x:g}" for x, value in points)
                lines.append(Series(part, palette.SERIES[number], tuple(points), Kind.LINE, tips, mark=number))
            ticks = tuple(sorted(set(at.values())))
            log = ticks[0] > 0 and ticks[-1] / ticks[0] > 8
            x = Axis(f"{axis} (tokens)" if axis != "threads" else axis, log=log, low=None if log else 0.0, ticks=ticks)
            title = f"{times.phase}: operations over {axis}" + (f", {name}" if name else "")
            yield Plot(title, x, Axis("ms a token", low=0.0), tuple(lines))


def part_speed_ups(results: SweepResults, times: Times) -> Iterator[Plot]:
    """How many times as fast each leading operation is with more threads, and the ideal."""
    for name, rows in _with_parts(results, times, "threads"):
        found = {
            int(times.setups[row].values["threads"]): results.components[times.setups[row].known_by, times.phase]
            for row in rows
        }
        least = min(found)
        ideal = tuple((float(count), count / least) for count in sorted(found))
        lines = [Series("ideal", palette.FAINT, ideal, Kind.RULE, dashed=True)]
        for number, part in enumerate(_leading(list(found.values()))):
            first = found[least].get(part, 0.0)
            points = [(float(n), first / by_name[part]) for n, by_name in sorted(found.items()) if by_name.get(part)]
            if first > 0:
                tips = tuple(f"{part}: {gain:.3g} times as fast with {x:g} threads" for x, gain in points)
                lines.append(Series(part, palette.SERIES[number], tuple(points), Kind.LINE, tips, mark=number))
        title = f"{times.phase}: speed-up by operation" + (f", {name}" if name else "")
        x = Axis("threads", low=0.0, ticks=tuple(map(float, sorted(found))))
        yield Plot(title, x, Axis(f"speed-up over {least}", low=0.0), tuple(lines))


def _with_parts(results: SweepResults, times: Times, axis: str) -> Iterator[tuple[str, list[int]]]:
    """Setups that differ in this axis alone and have their operations' times, with their name."""
    others = [each for each in varied(times.setups) if each != axis]
    found = []
    for rows in groups(times, (axis,)).values():
        kept = [row for row in rows if results.components.get((times.setups[row].known_by, times.phase))]
        if len({times.setups[row].values[axis] for row in kept} - {None}) > 1:
            found.append((times.setups[kept[0]].name(others) if others else "", kept))
    yield from found[:_MOST_GROUPS]


def _leading(found: Sequence[Any]) -> list[str]:
    """Operations by their time in all setups, waiting left out."""
    spent: dict[str, float] = {}
    for by_name in found:
        for part, seconds in by_name.items():
            if part not in WAITING and seconds > 0:
                spent[part] = spent.get(part, 0.0) + seconds
    return sorted(spent, key=lambda part: -spent[part])[:_MOST_LINES]


def laws_table(times: Times) -> Table | None:
    """Laws of speed-up for all that is alike but for threads; None where no setup has enough of them."""
    axes = [axis for axis in varied(times.setups) if axis != "threads"]
    rows: list[list[Cell]] = []
    for of_group in groups(times, ("threads",)).values():
        by_count = {int(times.setups[row].values["threads"] or 0): rate(times, row) for row in of_group}
        base = by_count.get(1)
        for law in laws({count: speed / base for count, speed in by_count.items()}) if base else ():
            name = times.setups[of_group[0]].name(axes) if axes else "all"
            most = law.most if law.most < 1e6 else None
            fits = "holds" if law.holds else "does not hold"
            rows.append([name, law.name, 100 * law.serial, 1e4 * law.crosstalk, most, 100 * law.residual, fits])
    if not rows:
        return None
    columns = (
        Column("setup"),
        Column("law"),
        Column("serial", 1, " %"),
        Column("cross-talk", 1, " ‱", secondary=True),
        Column("at most", 1, " ×", missing="no limit"),
        Column("largest residual", 1, " %"),
        Column(f"within {100 * HOLDS:.0f} %"),
    )
    return Table(f"{times.phase}: laws of speed-up", columns, rows)
