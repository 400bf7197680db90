"""Per-operation rows of our own captures, summed: time, arithmetic, bytes and counts by kind or tensor."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from analysis.calls import event_column, n_weights
from analysis.metrics import LINE_BYTES
from analysis.table import Table

REFILL_EVENTS = ("L3D_CACHE_REFILL", "LL_CACHE_MISS_RD", "L2D_CACHE_REFILL")
MOST_TENSORS = 200
"""Of all layers together, those that take most time; a model has some twenty."""
OTHERS = "others"
_LAYER = re.compile(r"^blk\.\d+\.")


@dataclass(frozen=True)
class Operation:
    """One kind of operation, or one tensor of all layers, over some calls.

    seconds: of a thread, the mean over the threads, so that operations and waiting add up to the calls' time.
    elapsed: until the slowest thread was done with each piece, added up.  pieces: how often it was carried out.
    work: multiplications and additions, 0 where no shape says.  weight_bytes: of the weights that all pieces read, 0
    where they read none, NaN where the capture does not tell.  counts: by event, over all threads.
    """

    name: str
    seconds: float
    elapsed: float
    pieces: int
    work: float
    weight_bytes: float
    counts: dict[str, float] = field(default_factory=dict)

    @property
    def bytes_read(self) -> tuple[float, str]:
        """Bytes from memory and where the number comes from: a refill event, else the weights, else (NaN, '')."""
        for event in REFILL_EVENTS:
            if event in self.counts:
                return self.counts[event] * LINE_BYTES, event
        return (self.weight_bytes, "weights") if self.weight_bytes > 0 else (math.nan, "")


def of_calls(table: Table, calls: Iterable[int] | None = None) -> list[Operation]:
    """Operations of the given calls (all without), the one that took most time first; [] without per-operation rows."""
    rows = timed_rows(table, calls)
    return [] if rows is None else gathered(rows, rows["op"])


def tensors_of_calls(table: Table, calls: Iterable[int] | None = None) -> list[Operation]:
    """The same by weight tensor, layers taken together: `ffn_gate+ffn_up Q4_0 3072x576`."""
    rows = timed_rows(table, calls)
    if rows is None or "tensor" not in rows:
        return []
    names = rows["tensor"].map({tensor: tensor_name(tensor) for tensor in rows["tensor"].unique()})
    for column in ("type", "shape"):
        if column in rows:
            names = names.str.cat(rows[column], sep=" ")
    of_weights = rows["tensor"] != ""
    rows, names = rows[of_weights], names[of_weights].str.strip()
    if names.nunique() > MOST_TENSORS:
        largest = rows["mean_s"].groupby(names, sort=False).sum().nlargest(MOST_TENSORS).index
        names = names.where(names.isin(largest), OTHERS)
    return gathered(rows, names)


def seconds_by_call(table: Table, calls: Iterable[int]) -> dict[str, list[tuple[int, float]]]:
    """Operation -> (call, seconds of a thread, the mean over the threads) for each call that had the operation."""
    rows = timed_rows(table, calls)
    return {} if rows is None else seconds_by_name(rows, rows["op"])


def seconds_by_name(rows: pd.DataFrame, names: pd.Series) -> dict[str, list[tuple[int, float]]]:
    """The same of `timed_rows` under other names, one a row."""
    found: dict[str, list[tuple[int, float]]] = {}
    sums = rows.groupby([names.rename("name"), "call"], sort=False)["mean_s"].sum()
    for name, call, seconds in sums.reset_index().itertuples(index=False):
        found.setdefault(str(name), []).append((int(call), float(seconds)))
    return found


def tensor_name(tensor: str) -> str:
    """A tensor's name without layer and ending, of fused ones each: `ffn_gate+ffn_up`."""
    return "+".join(_LAYER.sub("", part).removesuffix(".weight") for part in tensor.split("+"))


def timed_rows(table: Table, calls: Iterable[int] | None) -> pd.DataFrame | None:
    """Operations' rows with `mean_s`, their share of a thread's mean time; None where there are none."""
    if table.calls is None:
        return None
    rows = table.calls.parts_of(calls)
    if rows.empty:
        return None
    threads = rows.groupby("call", sort=False)["thread"].transform("nunique") if "thread" in rows else 1
    return rows.assign(mean_s=rows["duration_s"] / np.maximum(threads, 1))


def gathered(rows: pd.DataFrame, names: pd.Series) -> list[Operation]:
    """Operations of `timed_rows` by names, one a row; the one that took most time first."""
    found = [_operation(str(name), part) for name, part in rows.groupby(names, sort=False)]
    return sorted(found, key=lambda operation: -operation.seconds)


def _operation(name: str, rows: pd.DataFrame) -> Operation:
    keys = [key for key in ("call", "op", "layer", "tensor") if key in rows]
    # one layer quantises activations several times: a thread's first row belongs with the other threads' first rows
    own = rows.groupby([*keys, "thread"] if "thread" in rows else keys, sort=False, dropna=False).cumcount()
    pieces = rows.assign(turn=own).groupby([*keys, "turn"], sort=False, dropna=False)
    elapsed = float(pieces["duration_s"].max().sum())
    first = pieces.head(1)
    elements = first["shape"].map(n_weights).to_numpy(dtype=np.float64) if "shape" in first else np.zeros(len(first))
    n_eval = first["n_eval"].to_numpy(dtype=np.float64)
    # an embedding looks rows up and multiplies nothing
    multiplies = ~first["op"].isin(("embedding", "embed")).to_numpy()
    work = float(np.sum(2 * elements * n_eval * multiplies))
    return Operation(name, float(rows["mean_s"].sum()), elapsed, len(first), work, _weight_bytes(first), _counts(rows))


def _weight_bytes(pieces: pd.DataFrame) -> float:
    """Bytes of weights that the pieces read; NaN where one of them reads a tensor and does not say how many bytes."""
    known = pieces["weight_bytes"].to_numpy(dtype=np.float64)
    if "tensor" in pieces and bool((np.isnan(known) & (pieces["tensor"] != "").to_numpy()).any()):
        return math.nan
    return float(np.nansum(known))


def _counts(rows: pd.DataFrame) -> dict[str, float]:
    """Counts by event, from the group that counted in most rows; scaled by nothing."""
    best: dict[str, tuple[int, float]] = {}
    for column in filter(None, map(event_column, map(str, rows.columns))):
        values = rows[column.column].to_numpy(dtype=np.float64)
        counted = np.isfinite(values)
        if counted.any() and int(counted.sum()) > best.get(column.event, (0, 0.0))[0]:
            best[column.event] = (int(counted.sum()), float(values[counted].sum()))
    return {event: total for event, (_, total) in best.items()}
