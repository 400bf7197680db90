"""What the rows of a fleet tell together: groups, devices against their twins, steps over commits and over time."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.fleet import trends, twins
from analysis.fleet.rows import BROKEN, COLUMNS, JUDGED, TIME, UNREADABLE
from analysis.fleet.trends import Step
from analysis.fleet.twins import SETUP, Twin

KEYS = ("machine", "model", "threads", "phase")
_RATIOS = ("ipc", "be", "m")


@dataclass(frozen=True)
class Group:
    """Rows alike in some columns. speeds: tokens/s, the shares 5, 25, 50, 75 and 95 % lie below; () without any.

    ratios: medians of IPC, back-end stalls and memory's part of these, NaN where not counted.
    """

    values: tuple[str, ...]
    captures: int
    devices: int
    speeds: tuple[float, ...]
    ratios: dict[str, float]
    verdicts: dict[str, int]

    @property
    def told(self) -> str:
        """How often each verdict, the most frequent first."""
        return ", ".join(f"{n} {verdict}" for verdict, n in self.verdicts.items())


@dataclass(frozen=True)
class Reason:
    """Why captures have no rows of phases."""

    state: str
    reason: str
    captures: int
    example: str


@dataclass(frozen=True)
class Fleet:
    """frame: every row.  speeds: those with a speed, of `twins.usable`.  unit: how long a period is."""

    frame: pd.DataFrame
    speeds: pd.DataFrame
    by: tuple[str, ...]
    groups: list[Group]
    twins: list[Twin]
    commits: list[Step]
    periods: list[Step]
    unit: str
    reasons: list[Reason]

    @property
    def captures(self) -> int:
        return int(self.frame["path"].nunique())

    @property
    def devices(self) -> int:
        return int(self.frame.loc[self.frame["state"] == JUDGED, "device"].nunique())

    @property
    def slower(self) -> list[Twin]:
        """Devices that are slower than their twins, once for each setup."""
        return [twin for twin in self.twins if twin.is_slower]

    @property
    def changes(self) -> list[Step]:
        """Steps of commits, then of time, that are shown."""
        return [step for step in (*self.commits, *self.periods) if step.is_shown]

    @property
    def regressions(self) -> list[Step]:
        return [step for step in self.changes if step.is_regression]


def keys(text: str) -> tuple[str, ...]:
    """The columns of `--group-by`, for argparse."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in COLUMNS or COLUMNS[name] == TIME]
    if not names or unknown:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is no column to group by" if unknown else "name at least one column"
        )
    return names


def of_frame(frame: pd.DataFrame, by: Sequence[str] = KEYS) -> Fleet:
    """Everything that the rows tell. AnalysisError where there are none."""
    if frame.empty:
        raise AnalysisError("no captures are in the dataset: name some")
    speeds = twins.usable(frame)
    timed, unit = trends.with_periods(speeds)
    return Fleet(
        frame=frame,
        speeds=timed if len(timed) == len(speeds) else speeds.assign(period=timed["period"]),
        by=tuple(by),
        groups=groups(frame[frame["state"] == JUDGED], by),
        twins=twins.compared(speeds),
        commits=trends.over_commits(speeds),
        periods=trends.over_time(timed),
        unit=unit,
        reasons=_reasons(frame),
    )


def groups(frame: pd.DataFrame, by: Sequence[str]) -> list[Group]:
    """Groups by these columns, in the order of their values."""
    found = []
    alike = frame.groupby(list(by), dropna=False, sort=True)
    captures, devices = (alike[column].nunique().tolist() for column in ("path", "device"))
    ratios = {key: alike[key].median().tolist() for key in _RATIOS}
    for at, (values, rows) in enumerate(alike):
        speeds = rows["tokens_per_s"].dropna().to_numpy()
        shares = tuple(map(float, np.percentile(speeds, (5, 25, 50, 75, 95)))) if len(speeds) else ()
        found.append(
            Group(
                values=tuple(map(shown, values)),
                captures=int(captures[at]),
                devices=int(devices[at]),
                speeds=shares,
                ratios={key: float(medians[at]) for key, medians in ratios.items()},
                verdicts={str(name): n for name, n in Counter(rows["verdict"].dropna().tolist()).most_common()},
            )
        )
    return found


def shown(value: object) -> str:
    """A value of a column in words."""
    if value is None or value == "" or value is pd.NA or (isinstance(value, float) and value != value):
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def setup_words(setup: dict[str, object], columns: Sequence[str]) -> str:
    """A setup by these columns: "Neoverse-N1, model Q4_0, threads 4, decode"."""
    words = []
    for column in columns:
        value = shown(setup[column])
        if value != "-":
            words.append(value if column in ("machine", "engine", "model", "phase") else f"{column} {value}")
    return ", ".join(words) or "all"


def varied(setups: Sequence[dict[str, object]]) -> list[str]:
    """Columns in which these differ, the phase always among them."""
    return [name for name in SETUP if name == "phase" or len({shown(setup[name]) for setup in setups}) > 1]


def _reasons(frame: pd.DataFrame) -> list[Reason]:
    found = []
    for state in (BROKEN, UNREADABLE):
        rows = frame[frame["state"] == state]
        for reason, paths in rows.groupby("reason")["path"]:
            found.append(Reason(state, str(reason), int(paths.nunique()), str(paths.iloc[0])))
    return sorted(found, key=lambda each: -each.captures)
