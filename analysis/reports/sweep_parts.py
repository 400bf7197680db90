"""Charts of a sweep's operations: their time over lengths and depths, and how threads help each; fitted laws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis import palette
from analysis.calls import WAITING
from analysis.laws import HOLDS, laws
from analysis.reports.charts import Axis, Kind, Plot, Series
from analysis.reports.model import Cell, Column, Table, fixed
from analysis.reports.sweep_charts import NUMBERS, groups, rate, unit
from analysis.sweep_results import SweepResults, Times, varied

_MOST_LINES = 8
_MOST_GROUPS = 4
_MOST_SHARES = 60


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


def shares_table(results: SweepResults, times: Times) -> Table | None:
    """Of each setup the time of all operations, and the leading ones' shares of it; None where none was timed."""
    found = {
        row: by_name
        for row, setup in enumerate(times.setups)
        if sum((by_name := results.components.get((setup.known_by, times.phase), {})).values()) > 0
    }
    if not found:
        return None
    axes, leading = varied(times.setups), _leading(list(found.values()))
    rows: list[list[Cell]] = []
    for row, by_name in found.items():
        whole = sum(by_name.values())
        waits = sum(seconds for part, seconds in by_name.items() if part in WAITING)
        shares: list[Cell] = [100 * by_name[part] / whole if part in by_name else None for part in leading]
        others = 100 - sum(share for share in shares if isinstance(share, float)) - 100 * waits / whole
        name = times.setups[row].name(axes) if axes else "all"
        rows.append([name, 1e3 * whole, *shares, max(0.0, others), 100 * waits / whole])
    titles = (*(part.replace("_", " ") for part in leading), "others", "waiting")
    columns = (
        Column("setup"),
        Column("ms a token", fixed([row[1] for row in rows], 4)),
        *(Column(title, 1, " %", missing="-") for title in titles),
    )
    return Table(f"{times.phase}: share of each operation", columns, rows, most=_MOST_SHARES, filtered=len(rows) > 8)


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


def each_token(results: SweepResults, times: Times) -> Iterator[Plot]:
    """Milliseconds of each token generated, over the tokens before it: a line a setup."""
    axes = varied(times.setups)
    known = [setup for setup in times.setups if results.tokens.get(setup.known_by)] if times.phase == "decode" else []
    for at in range(0, min(len(known), _MOST_LINES * _MOST_GROUPS), _MOST_LINES):
        lines = []
        for number, setup in enumerate(known[at : at + _MOST_LINES]):
            points = tuple((float(n), 1e3 * seconds) for n, seconds in results.tokens[setup.known_by].items())
            name = setup.name(axes)
            tips = tuple(f"{name}: {value:.4g} ms behind {n:.0f} tokens" for n, value in points)
            lines.append(Series(name, palette.SERIES[number], points, Kind.LINE, tips, mark=number))
        more = f" ({at // _MOST_LINES + 1})" if at else ""
        y = Axis("ms a token", low=0.0)
        yield Plot(f"decode: each token, median of the runs{more}", Axis("tokens before it"), y, tuple(lines))


def quality(times: Times) -> Plot | None:
    """Perplexity against size, and what nothing beats in size, perplexity and speed; None where too few have one."""
    known = [row for row, setup in enumerate(times.setups) if setup.model_size and setup.perplexity]
    if len({times.setups[row].perplexity for row in known}) < 2:
        return None
    axes = varied(times.setups)
    points = {
        row: (times.setups[row].model_size or 0, times.setups[row].perplexity or 0.0, 1 / rate(times, row))
        for row in known
    }
    best = unbeaten(points)
    dots = []
    for number, is_best in enumerate((True, False)):
        rows = [row for row in known if (row in best) == is_best]
        places = tuple((points[row][0] / 1e6, points[row][1]) for row in rows)
        tips = tuple(
            f"{times.setups[row].name(axes)}: {points[row][0] / 1e6:.4g} MB, perplexity {points[row][1]:.4g}, "
            f"{1 / points[row][2]:.4g} {unit(times.phase)}"
            for row in rows
        )
        labels = tuple(times.setups[row].name(axes) for row in rows) if len(rows) <= 6 else ()
        hue = palette.BETTER if is_best else palette.OTHER
        name = "beaten by none in size, perplexity and speed" if is_best else "beaten in all three"
        dots += [Series(name, hue, places, Kind.DOTS, tips, labels, mark=number)] if rows else []
    y = Axis("perplexity (lower is better)")
    return Plot(f"{times.phase}: perplexity against size", Axis("tensors (MB)", low=0.0), y, tuple(dots))


def unbeaten(points: Mapping[int, tuple[float, ...]]) -> set[int]:
    """Those that no other is as low as in everything, and lower in something."""
    return {
        row
        for row, mine in points.items()
        if not any(
            all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine
            for number, other in points.items()
            if number != row
        )
    }


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
