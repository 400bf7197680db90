"""How a fleet's speed went over commits and over time.

Commits of a setup stand in the order of the median time of their captures. Each is compared with the one before, device
by device: the difference of a device's medians of the same work under both, on the logarithm of tokens a second. Where
too few devices have both, the captures of those that do are compared, each against the median of its device and work.

A change is shown where the interval of the median difference leaves 0 out and the change is `LEAST_CHANGE` or more. The
interval's level is 95 % for all comparisons of the report together: 1 - 0.05 / their number for each.

Periods of time are compared in the same way, within the same commit: what commits do not explain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from analysis import medians
from analysis.fleet.twins import QUANTITIES, SETUP, Quantity

LEAST_CHANGE = 0.02
_LEAST_POINTS, _LEAST_SHARE = 0.02, 0.05
_MOST_RATIOS = 4
PERIODS = (("day", 60.0), ("week", 420.0), ("month", math.inf))
"""Length of a period -> days that the fleet's captures may span for it."""


@dataclass(frozen=True)
class Step:
    """From one commit or period to the next. times: as fast as before.

    by: `devices` or `captures` that were compared, `n` of them.
    interval: at `level`, None where they are too few for it.
    """

    setup: dict[str, object]
    before: str
    after: str
    times: float
    interval: medians.Interval | None
    level: float
    n: int
    by: str
    differs: tuple[tuple[Quantity, float, float], ...] = ()

    @property
    def is_shown(self) -> bool:
        outside = self.interval is not None and not self.interval[0] <= 1 <= self.interval[1]
        return outside and abs(math.log(self.times)) >= LEAST_CHANGE

    @property
    def is_regression(self) -> bool:
        return self.is_shown and self.times < 1

    @property
    def verdict(self) -> str:
        if self.interval is None:
            return "too few to tell"
        return "no change shown" if not self.is_shown else "slower" if self.times < 1 else "faster"

    @property
    def why(self) -> str:
        """What else has changed, in words."""
        return "; ".join(
            f"{quantity.label} {quantity.shown(before)} to {quantity.shown(after)}"
            for quantity, before, after in self.differs
        )


def with_periods(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows that have a time, with the first day of their `period`; and how long a period is."""
    frame = frame[frame["started"].notna()].copy()
    if frame.empty:
        return frame.assign(period=""), PERIODS[0][0]
    days = (frame["started"].max() - frame["started"].min()).total_seconds() / 86400
    unit = next(name for name, most in PERIODS if days <= most)
    letter = {"day": "D", "week": "W-SUN", "month": "M"}[unit]
    starts = frame["started"].dt.tz_localize(None).dt.to_period(letter).dt.start_time
    frame["period"] = starts.dt.strftime("%Y-%m-%d")
    return frame, unit


def over_commits(frame: pd.DataFrame) -> list[Step]:
    """Every step from commit to commit of every setup. frame: of `twins.usable`."""
    named = frame[(frame["commit"] != "") & frame["started"].notna()]
    return _steps(named, "commit", ["work"])


def over_time(frame: pd.DataFrame) -> list[Step]:
    """Every step from period to period within the same commits. frame: of `with_periods`."""
    return _steps(frame, "period", ["work", "commit"])


def _steps(frame: pd.DataFrame, by: str, within: list[str]) -> list[Step]:
    of_setup = frame.groupby("setup")[by].nunique()
    steps_in = of_setup.index[of_setup > 1]  # of thousands of setups few may have any
    setups = [rows for _, rows in frame[frame["setup"].isin(steps_in)].groupby("setup", sort=True)]
    orders = [list(rows.groupby(by)["started"].median().sort_values(kind="stable").index) for rows in setups]
    pairs = sum(max(0, len(order) - 1) for order in orders)
    level = 1 - (1 - medians.LEVEL) / max(1, pairs)
    found = []
    for rows, order in zip(setups, orders, strict=True):
        table = _by_device(rows, rows["log"], by, within)
        for before, after in pairwise(order):
            step = _step(rows, table, by, within, before, after, level)
            if step is not None:
                found.append(_explained(step, rows, by, within) if step.is_shown else step)
    return found


def _step(
    rows: pd.DataFrame, table: pd.DataFrame, by: str, within: list[str], before: str, after: str, level: float
) -> Step | None:
    """table: of `_by_device`. None where no device has both."""
    setup = {column: rows[column].iloc[0] for column in SETUP}
    grown = _grown(table, before, after)
    if medians.reaches(len(grown), level):
        ends = medians.interval(grown, level)
        return Step(setup, before, after, math.exp(medians.middle(grown)), _ratio(ends), level, len(grown), "devices")
    both = rows[rows[by].isin([before, after])]
    alike = both.groupby(["device", *within])
    centred = (both["log"] - alike["log"].transform("median"))[alike[by].transform("nunique") > 1]
    now, then = (centred[both[by] == one].to_numpy() for one in (after, before))
    n = min(len(now), len(then))
    if n == 0:
        return None
    times = math.exp(medians.middle(now) - medians.middle(then))
    ends = medians.interval_of_difference(now, then, level)
    return Step(setup, before, after, times, _ratio(ends), level, n, "captures")


def _ratio(ends: medians.Interval | None) -> medians.Interval | None:
    return None if ends is None else (math.exp(ends[0]), math.exp(ends[1]))


def _by_device(rows: pd.DataFrame, values: pd.Series[float], by: str, within: list[str]) -> pd.DataFrame:
    """Medians of the values: a row a device and work, a column a commit or period."""
    known = rows[["device", by, *within]].assign(value=values).dropna(subset=["value"])
    return known.groupby(["device", *within, by])["value"].median().unstack(by)


def _grown(table: pd.DataFrame, before: str, after: str) -> np.ndarray:
    """Of each device that has both: the median over its works of what the value grew by."""
    if before not in table or after not in table:
        return np.empty(0)
    found: np.ndarray = (table[after] - table[before]).dropna().groupby("device").median().to_numpy()
    return found


def _explained(step: Step, rows: pd.DataFrame, by: str, within: list[str]) -> Step:
    """The step with the quantities that changed with it, the largest first. rows: of its setup."""
    rows = rows[rows[by].isin([step.before, step.after])]
    found = []
    for quantity in QUANTITIES:
        values = rows[quantity.column]
        if not quantity.is_share:
            values = np.log(values.where(values > 0))
        grown = _grown(_by_device(rows, values, by, within), step.before, step.after)
        ends = medians.interval(grown, step.level)
        change = medians.middle(grown) if len(grown) else 0.0
        least = _LEAST_POINTS if quantity.is_share else _LEAST_SHARE
        if ends is None or ends[0] <= 0 <= ends[1] or abs(change) < least:
            continue
        middle = float(values[rows[by] == step.before].median())
        both = (middle, middle + change)
        before, after = both if quantity.is_share else (math.exp(both[0]), math.exp(both[1]))
        found.append((abs(change), quantity, before, after))
    found.sort(key=lambda each: -each[0])
    return replace(step, differs=tuple((quantity, a, b) for _, quantity, a, b in found[:_MOST_RATIOS]))
