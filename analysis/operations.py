"""Per-operation rows of our own captures, summed: time, arithmetic, bytes and counts by kind or tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from analysis.calls import event_column
from analysis.metrics import LINE_BYTES
from analysis.table import Table

REFILL_EVENTS = ("L3D_CACHE_REFILL", "LL_CACHE_MISS_RD", "L2D_CACHE_REFILL")
MOST_TENSORS = 64
"""Of all layers together, those that take most time; a model has some twenty."""
OTHERS = "others"


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
    of_weights = rows["weights"] != ""
    rows, names = rows[of_weights], rows["weights"][of_weights]
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
    of_name, known = pd.factorize(names)
    of_call, calls = pd.factorize(rows["call"].to_numpy())
    both = np.where(of_name < 0, -1, of_name * len(calls) + of_call)
    sums = rows["mean_s"].groupby(both, sort=False).sum()
    for at, seconds in zip(sums.index.tolist(), sums.tolist(), strict=True):
        if at >= 0:
            found.setdefault(str(known[at // len(calls)]), []).append((int(calls[at % len(calls)]), seconds))
    return found


def timed_rows(table: Table, calls: Iterable[int] | None) -> pd.DataFrame | None:
    """Operations' rows as `Calls.timed_of` has them; None where there are none."""
    rows = None if table.calls is None else table.calls.timed_of(calls)
    return None if rows is None or rows.empty else rows


def gathered(rows: pd.DataFrame, names: pd.Series) -> list[Operation]:
    """Operations of `timed_rows` by names, one a row; the one that took most time first."""
    kinds, found = pd.factorize(names)
    if (kinds < 0).any():
        rows, kinds = rows[kinds >= 0], kinds[kinds >= 0]
    _, first, at = np.unique(rows["piece"].to_numpy(), return_index=True, return_inverse=True)
    elapsed = np.full(len(first), -np.inf)
    np.maximum.at(elapsed, at, rows["duration_s"].to_numpy())
    kind = kinds[first]

    def summed(of: np.ndarray, values: np.ndarray) -> list[float]:
        sums: list[float] = np.bincount(of, weights=values, minlength=len(found)).tolist()
        return sums

    columns = (
        summed(kinds, rows["mean_s"].to_numpy()),
        summed(kind, elapsed),
        np.bincount(kind, minlength=len(found)).tolist(),
        summed(kind, rows["work"].to_numpy()[first]),
        summed(kind, rows["read_bytes"].to_numpy()[first]),
        _counts(rows, kinds, len(found)),
    )
    operations = [Operation(str(name), *values) for name, *values in zip(found, *columns, strict=True)]
    return sorted(operations, key=lambda operation: -operation.seconds)


def _counts(rows: pd.DataFrame, kinds: np.ndarray, n: int) -> list[dict[str, float]]:
    """Of each of n kinds its counts by event, from the group that counted in most rows; scaled by nothing."""
    best: list[dict[str, tuple[int, float]]] = [{} for _ in range(n)]
    for column in filter(None, map(event_column, map(str, rows.columns))):
        values = rows[column.column].to_numpy(dtype=np.float64)
        counted = np.isfinite(values)
        numbers = np.bincount(kinds[counted], minlength=n).tolist()
        sums = np.bincount(kinds[counted], weights=values[counted], minlength=n).tolist()
        for known, number, total in zip(best, numbers, sums, strict=True):
            if number > known.get(column.event, (0, 0.0))[0]:
                known[column.event] = (number, total)
    return [{event: total for event, (_, total) in known.items()} for known in best]
