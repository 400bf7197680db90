"""Devices against their twins: those with the same machine, model and threads that did the same work.

The rule, for each setup (machine, PMU, engine, model, threads, phase), all on the logarithm of tokens a second:

1. A capture is compared with captures of the same commit whose calls were as long and lay as deep (to half an octave):
   what it differs from the median of the devices' medians there. At least `LEAST_ALIKE` devices must have such.
2. A device's difference is the median of its captures'. Its scale has two parts, added as squares: how far devices lie
   apart (1.4826 times the median distance from their median, `LEAST_SCALE` at the least), and how far a median of so
   few captures may be off (1.2533 times the spread within devices over the root of their number).
3. It is slower than its twins where it is `LEAST_SLOWER` slower or more, by at least `limit` scales, has at least
   `LEAST_CAPTURES` captures, and there are at least `LEAST_TWINS` devices. The limit grows with the number of devices
   compared, so that in healthy fleets one in a hundred accuses anybody, and is larger where the scale rests on few.

The same differences of every ratio then say what differs: by as many scales, and by 2 points (shares) or 5 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np
import pandas as pd

from analysis.metrics import METRICS

LEAST_ALIKE = 3
LEAST_TWINS = 6
LEAST_CAPTURES = 3
LEAST_SLOWER = 0.05
LEAST_SCALE = 0.01
_CHANCE = 0.01
_FEW_DEVICES = 8.0
_LEAST_POINTS, _LEAST_SHARE = 0.02, 0.05
_MOST_RATIOS = 4
_NORMAL = 1.4826  # times the median distance is the standard deviation, of normal values
_OF_MEDIAN = 1.2533  # times the standard deviation over the root of n is a median's error

SETUP = ("machine", "pmu", "scope", "engine", "model", "threads", "threads_batch", "phase")
"""Columns in which twins are alike."""


@dataclass(frozen=True)
class Quantity:
    """A column that may differ. is_share: compared by points; all others by their ratio."""

    column: str
    label: str
    is_share: bool = False

    def shown(self, value: float) -> str:
        """A value in words."""
        if self.is_share:
            return f"{100 * value:.1f} %"
        return f"{value / 1e9:.2f} GHz" if self.column == "frequency_hz" else f"{value:.3g}"


QUANTITIES = (
    Quantity("frequency_hz", "clock"),
    # but for bytes a second, which go with the speed
    *(Quantity(metric.key, metric.label, metric.unit == "share") for metric in METRICS if metric.unit != "GB/s"),
    Quantity("read_peak_gbps", "read peak of memory (GB/s)"),
    Quantity("steal_percent", "taken by the hypervisor (%)"),
    Quantity("run_delay_percent", "ready without a CPU (%)"),
    Quantity("others_percent", "taken by others (% of a CPU)"),
)


@dataclass(frozen=True)
class Difference:
    """A quantity in which a device differs from its twins. z: in scales."""

    quantity: Quantity
    own: float
    twins: float
    z: float

    @property
    def text(self) -> str:
        """As in `clock 1.60 GHz, twins 2.00 GHz`."""
        return f"{self.quantity.label} {self.quantity.shown(self.own)}, twins {self.quantity.shown(self.twins)}"


@dataclass(frozen=True)
class Twin:
    """A device among the others of its setup, which has a number.

    times: as fast as they are.  z: the same in scales, below 0 for slower.
    example: the path of its middle capture.  differs: what goes with it. Both of slower ones alone.
    """

    device: str
    setup: dict[str, object]
    number: int
    captures: int
    twins: int
    speed: float
    times: float
    z: float
    limit: float
    example: str = ""
    differs: tuple[Difference, ...] = field(default=())

    @property
    def is_comparable(self) -> bool:
        return self.twins >= LEAST_TWINS and self.captures >= LEAST_CAPTURES

    @property
    def is_slower(self) -> bool:
        """Whether the rule above says so."""
        return self.is_comparable and self.times <= 1 - LEAST_SLOWER and self.z <= -self.limit

    @property
    def verdict(self) -> str:
        if not self.is_comparable:
            return "too few to tell"
        return "slower than its twins" if self.is_slower else "as its twins"


def usable(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that have a speed, with its logarithm (`log`), and numbers of their `setup`, and of their `work` within."""
    frame = frame[(frame["state"] == "judged") & (frame["tokens_per_s"] > 0)].copy()
    frame["log"] = np.log(frame["tokens_per_s"])
    for column, size in (("batch", frame["batch"]), ("depth", frame["depth"] + 1)):
        frame[f"{column}_class"] = np.round(2 * np.log2(size.where(size > 0)))
    frame["setup"] = _numbered(frame, SETUP)
    frame["work"] = _numbered(frame, ("setup", "batch_class", "depth_class"))
    return frame


def _numbered(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series[int]:
    numbers: pd.Series[int] = frame.groupby(list(columns), dropna=False, sort=False).ngroup()
    return numbers


def compared(frame: pd.DataFrame) -> list[Twin]:
    """Every device of every setup that has others; those that are slowest against their twins first.

    frame: of `usable`.
    """
    speeds = _scaled(_against_alike(frame, frame["log"]))
    speeds = speeds[speeds["twins"] > 1]
    pairs = int((speeds["twins"] >= LEAST_TWINS).sum())
    speeds = speeds.join(frame.groupby(["setup", "device"])["tokens_per_s"].median().rename("speed"))
    setups = frame.drop_duplicates("setup").set_index("setup")[list(SETUP)].to_dict("index")
    found = [
        Twin(
            device=str(row.Index[1]),
            setup=setups[row.Index[0]],
            number=int(row.Index[0]),
            captures=int(row.captures),
            twins=int(row.twins),
            speed=float(row.speed),
            times=math.exp(row.difference),
            z=float(row.z),
            limit=limit(pairs, int(row.twins)),
        )
        for row in speeds.itertuples()
    ]
    found = [_explained(twin, frame) if twin.is_slower else twin for twin in found]
    return sorted(found, key=lambda twin: (not twin.is_slower, twin.z))


def limit(pairs: int, twins: int) -> float:
    """Scales by which a device must be slower. pairs: devices and setups compared.  twins: that the scale rests on."""
    return NormalDist().inv_cdf(1 - _CHANCE / max(1, pairs)) * (1 + _FEW_DEVICES / twins)


def _against_alike(frame: pd.DataFrame, values: pd.Series[float]) -> pd.DataFrame:
    """Of each row `alike`, the median of devices that did the same work by the same commit, and `difference` from it.

    Rows without enough of them, or without a value, are left out.
    """
    rows = frame[["setup", "work", "commit", "device"]].assign(value=values).dropna(subset=["value"])
    cell = ["work", "commit"]
    of_device = rows.groupby([*cell, "device"])["value"].median().reset_index()
    by_cell = of_device.groupby(cell)["value"].agg(alike="median", devices="size").reset_index()
    rows = rows.merge(by_cell[by_cell["devices"] >= LEAST_ALIKE], on=cell, how="inner")
    rows["difference"] = rows["value"] - rows["alike"]
    return rows


def _scaled(rows: pd.DataFrame, least: float = LEAST_SCALE) -> pd.DataFrame:
    """By setup and device: the median `difference` and `alike`, `captures`, `twins`, `z`."""
    by = ["setup", "device"]
    found = rows.groupby(by).agg(
        difference=("difference", "median"), alike=("alike", "median"), captures=("difference", "size")
    )
    within = (rows["difference"] - rows.groupby(by)["difference"].transform("median")).abs()
    counts = rows.groupby(by)["difference"].transform("size")
    # of n values around their own median, whose distances are too small by about this
    within = (within * np.sqrt(counts / (counts - 1)))[counts > 1]
    setups = rows["setup"]
    spread = _NORMAL * within.groupby(setups[within.index]).median()
    apart = found["difference"].groupby("setup").agg(_median_distance) * _NORMAL
    of_setup = found.index.get_level_values("setup")
    found["twins"] = found.groupby("setup")["difference"].transform("size")
    centre = found.groupby("setup")["difference"].transform("median")
    own = _OF_MEDIAN * spread.reindex(of_setup).fillna(0.0).to_numpy() / np.sqrt(found["captures"])
    scale = np.hypot(np.maximum(apart.reindex(of_setup).to_numpy(), least), own)
    found["difference"] -= centre
    found["z"] = found["difference"] / scale
    return found


def _median_distance(values: pd.Series[float]) -> float:
    return float((values - values.median()).abs().median())


def _explained(twin: Twin, frame: pd.DataFrame) -> Twin:
    """The twin with the quantities in which it differs, the clearest first."""
    rows = frame[frame["setup"] == twin.number]
    mine = rows[rows["device"] == twin.device]
    middle = mine.loc[(mine["log"] - mine["log"].median()).abs().idxmin()]
    differs = [found for quantity in QUANTITIES if (found := _difference(quantity, twin, rows))]
    differs.sort(key=lambda each: -abs(each.z))
    return replace(twin, differs=tuple(differs[:_MOST_RATIOS]), example=str(middle["path"]))


def _difference(quantity: Quantity, twin: Twin, rows: pd.DataFrame) -> Difference | None:
    values = rows[quantity.column]
    if not quantity.is_share:
        values = np.log(values.where(values > 0))
    alike = _against_alike(rows, values)
    if alike.empty:
        return None
    found = _scaled(alike, LEAST_SCALE if not quantity.is_share else LEAST_SCALE / 2)
    own = found[found.index.get_level_values("device") == twin.device]
    if own.empty or own["twins"].iloc[0] < LEAST_TWINS:
        return None
    difference, z, middle = (float(own[name].iloc[0]) for name in ("difference", "z", "alike"))
    least = _LEAST_POINTS if quantity.is_share else _LEAST_SHARE
    if abs(z) < twin.limit or abs(difference) < least:
        return None
    if quantity.is_share:
        return Difference(quantity, middle + difference, middle, z)
    return Difference(quantity, math.exp(middle + difference), math.exp(middle), z)
