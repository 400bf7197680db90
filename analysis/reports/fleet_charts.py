"""Pictures of a fleet: how speeds spread, devices against their twins, speed over commits and over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import palette
from analysis.fleet.findings import Fleet
from analysis.fleet.twins import LEAST_TWINS
from analysis.reports.charts import Axis, Box, Boxes, Kind, Plot, Series

_MOST_BOXES = 16
_MOST_PHASES = 4
_MOST_DOTS = 1500
_MOST_COMMITS = 400


def spread(fleet: Fleet) -> Boxes | None:
    """A box a group: half of its captures, the line 90 %."""
    known = [group for group in fleet.groups if group.speeds]
    known = sorted(known, key=lambda group: -group.captures)[:_MOST_BOXES]
    boxes = []
    for group in known:
        label = ", ".join(value for value in group.values if value != "-") or "all"
        low, first, middle, third, high = group.speeds
        tip = f"{label}: {middle:.4g} tokens/s, 90 % within {low:.4g} to {high:.4g}"
        hue = palette.phase(group.values[-1]) if fleet.by[-1] == "phase" else palette.SERIES[0]
        note = f"{group.captures} captures, {group.devices} devices"
        boxes.append(Box(label, (low, first, middle, third, high), hue, tip, note))
    return (
        Boxes("Speed of each group", "tokens/s: the box half of the captures, the line 90 %", tuple(boxes))
        if boxes
        else None
    )


def devices(fleet: Fleet) -> Plot | None:
    """Each device against its twins, those that are slower marked and named."""
    series, named = [], set[str]()
    known = [twin for twin in fleet.twins if twin.twins >= LEAST_TWINS]
    for number, phase in enumerate(_phases(fleet)):
        mine = sorted((twin for twin in known if twin.setup["phase"] == phase), key=lambda twin: twin.times)
        for is_slower in (False, True):
            rows = [(row, twin) for row, twin in enumerate(mine) if twin.is_slower is is_slower]
            if not is_slower and len(rows) > _MOST_DOTS:
                rows = rows[:: -(-len(rows) // _MOST_DOTS)]
            if rows:
                share = max(1, len(mine) - 1)
                series.append(
                    Series(
                        f"{phase}, slower than its twins" if is_slower else phase,
                        palette.WAITING if is_slower else palette.phase(phase, number),
                        tuple((100 * row / share, twin.times) for row, twin in rows),
                        Kind.DOTS,
                        tuple(
                            f"{twin.device}, {phase}: {twin.times:.3f} times as fast as its twins" for _, twin in rows
                        ),
                        _once([twin.device for _, twin in rows[:6]], named) if is_slower else (),
                        mark=number + 3 * is_slower,
                    )
                )
    if not series:
        return None
    times = [point[1] for each in series for point in each.points]
    low, high = min(0.95, *times), max(1.05, *times)
    air = 0.06 * (high - low)
    x = Axis("devices, the slowest first (% of them)", low=-2.0, high=102.0)
    y = Axis("times as fast as its twins", low=low - air, high=high + air)
    return Plot("Devices against their twins", x, y, tuple(series))


def over_commits(fleet: Fleet) -> Plot | None:
    """Speed over commits in the order of their captures, against each device's own median."""
    rows = fleet.speeds[(fleet.speeds["commit"] != "") & fleet.speeds["started"].notna()]
    order = list(rows.groupby("commit")["started"].median().sort_values(kind="stable").index)[-_MOST_COMMITS:]
    if len(order) < 2:
        return None
    shown = {(step.setup["phase"], step.after) for step in fleet.commits if step.is_shown}
    places = {commit: number + 1.0 for number, commit in enumerate(order)}
    x = Axis("commits, in the order of their captures", low=0.5, high=len(order) + 0.5, ticks=tuple(places.values()))
    return _lines("Speed over commits", x, fleet, rows, "commit", places, shown)


def over_time(fleet: Fleet) -> Plot | None:
    """Speed over periods, against each device's own median."""
    rows = fleet.speeds[fleet.speeds["period"].notna() & (fleet.speeds["period"] != "")]
    order = sorted(rows["period"].unique())
    if len(order) < 2:
        return None
    first = pd.Timestamp(order[0])
    places = {period: float((pd.Timestamp(period) - first).days) for period in order}
    shown = {(step.setup["phase"], step.after) for step in fleet.periods if step.is_shown}
    x = Axis(f"days since {order[0]}, a point a {fleet.unit}", low=-0.5, high=places[order[-1]] + 0.5)
    return _lines("Speed over time", x, fleet, rows, "period", places, shown)


def _lines(
    title: str,
    x: Axis,
    fleet: Fleet,
    rows: pd.DataFrame,
    column: str,
    places: dict[str, float],
    shown: set[tuple[object, str]],
) -> Plot:
    own = rows["log"] - rows.groupby(["device", "work"])["log"].transform("median")
    series, values, named = [], [1.0], set[str]()
    for number, phase in enumerate(_phases(fleet)):
        mine = rows["phase"] == phase
        found = own[mine].groupby(rows.loc[mine, column]).agg(["median", "size"])
        known = sorted(
            (places[name], name, float(np.exp(row["median"])), int(row["size"]))
            for name, row in found.iterrows()
            if name in places
        )
        values += [value for _, _, value, _ in known]
        labels = _once([name if (phase, name) in shown else "" for _, name, _, _ in known], named)
        series.append(
            Series(
                phase,
                palette.phase(phase, number),
                tuple((place, value) for place, _, value, _ in known),
                tips=tuple(
                    f"{name}, {phase}: {value:.3f} times its devices' medians, {n} captures"
                    for _, name, value, n in known
                ),
                labels=labels,
                mark=number,
            )
        )
    low, high = min(values), max(values)
    air = max(0.02, 0.15 * (high - low))
    y = Axis("times as fast as the device's own median", low=low - air, high=high + air)
    return Plot(title, x, y, tuple(series))


def _once(names: Sequence[str], named: set[str]) -> tuple[str, ...]:
    """The names, '' for those that have been given before: what is `named`, which grows."""
    found = tuple("" if name in named else name for name in names)
    named.update(found)
    return found


def _phases(fleet: Fleet) -> list[str]:
    """The phases' labels, the most frequent first."""
    return [str(name) for name in fleet.speeds["phase"].value_counts().index[:_MOST_PHASES]]
