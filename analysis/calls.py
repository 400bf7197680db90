"""The rows of our own captures: calls into the executor, and what its threads did in them.

The one place that knows how a row of a call differs from a row of an operation, in which columns events stand, how
their counts are scaled, and what a call tells of itself beside its counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.phase import StepFacts

TIMES = ("time_enabled_ns", "time_running_ns")
"""Columns `NAME@GROUP` that say how long a group was asked for and how long it counted."""

BARRIER = "barrier"
WAITING = {
    BARRIER: "waiting for other threads",
    "begin": "before the first operation",
    "end": "after the last operation",
}
"""What a thread's time holds besides operations, in words."""

_COLUMN = re.compile(r"(.+)@([\w.-]+)")
_LAYER = re.compile(r"^blk\.\d+\.")
_SHAPE = re.compile(r"(\d{1,9})x(\d{1,9})")


class EventColumn(NamedTuple):
    """One event of one group: `column` is its name in the rows, `EVENT@GROUP`."""

    column: str
    event: str
    group: str


class Calls:
    """All rows of a capture, in its order, with the columns that docs/capture-format.md names plus `start_s` and
    `duration_s`. `whole`: a row a call.  `parts`: a row for each operation, layer and thread, none without `--per-op`.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        self._scaled: dict[EventColumn, tuple[np.ndarray, np.ndarray]] = {}
        self._last: tuple[frozenset[int], pd.DataFrame] = frozenset(), rows.iloc[:0]

    @cached_property
    def _is_whole(self) -> pd.Series:
        return self.rows["op"] == ""

    @cached_property
    def whole(self) -> pd.DataFrame:
        return self.rows if self._is_whole.all() else self.rows[self._is_whole]

    @cached_property
    def parts(self) -> pd.DataFrame:
        return self.rows[~self._is_whole]

    def parts_of(self, calls: Iterable[int] | None) -> pd.DataFrame:
        """Rows of operations in the calls of these numbers, in all without."""
        return self._of(self.parts, calls)

    def timed_of(self, calls: Iterable[int] | None) -> pd.DataFrame:
        """The same with `mean_s`, a row's share of a thread's mean time in its call; `piece`, the number of the piece
        of work that it is a thread's part of; of that piece `work`, its multiplications and additions, and
        `read_bytes`, of weights; and `weights`, its tensor with type and shape, layers taken together.
        """
        if calls is None:
            return self._timed
        wanted = frozenset(calls)
        if wanted != self._last[0]:  # reports ask several times of one phase, then of the next
            self._last = wanted, self._of(self._timed, wanted)
        return self._last[1]

    def _of(self, rows: pd.DataFrame, calls: Iterable[int] | None) -> pd.DataFrame:
        if calls is None:
            return rows
        known = [self._rows_of_call[call] for call in set(calls) if call in self._rows_of_call]
        return rows.iloc[np.sort(np.concatenate(known))] if known else rows.iloc[:0]

    @cached_property
    def _timed(self) -> pd.DataFrame:
        rows = self.parts
        threads = rows.groupby("call", sort=False)["thread"].transform("nunique") if "thread" in rows else 1
        mean_s = rows["duration_s"] / np.maximum(threads, 1)
        of_piece = {"piece": _pieces(rows), "work": _work(rows), "read_bytes": _weight_bytes(rows)}
        return rows.assign(mean_s=mean_s, **of_piece, weights=_weights(rows))

    @cached_property
    def _rows_of_call(self) -> dict[int, np.ndarray]:
        """Where in `parts` the rows of each call are: a capture may have thousands of phases, each of some calls."""
        numbers = self.parts["call"].to_numpy()
        order = np.argsort(numbers, kind="stable")
        found, first = np.unique(numbers[order], return_index=True)
        return dict(zip(found.tolist(), np.split(order, first[1:]), strict=True)) if len(found) else {}

    @cached_property
    def events(self) -> list[EventColumn]:
        """The columns that hold counts, in the capture's order."""
        found = (event_column(str(column)) for column in self.rows.columns)
        return [column for column in found if column is not None]

    def scaled(self, column: EventColumn) -> tuple[np.ndarray, np.ndarray]:
        """`scaled_counts` of whole calls."""
        if column not in self._scaled:
            self._scaled[column] = scaled_counts(self.whole, column.column, column.group)
        return self._scaled[column]

    def measured(self, column: EventColumn) -> np.ndarray:
        """An event's counts of whole calls as they stand there."""
        values: np.ndarray = self.whole[column.column].to_numpy(dtype=np.float64)
        return values

    @cached_property
    def n_threads(self) -> int:
        """Threads that have rows of their own, 0 where none has."""
        return int(self.rows["thread"].nunique()) if "thread" in self.rows else 0

    @cached_property
    def facts(self) -> dict[int, StepFacts]:
        """What each call tells beside its counts, by its number; {} where the capture has none of these columns."""
        if "freq_hz" not in self.whole and "migrations" not in self.whole:
            return {}
        frequency, migrations = (self._numbers(name) for name in ("freq_hz", "migrations"))
        return {
            int(call): StepFacts(float(speed), float(moves) if moves > 0 else 0.0)
            for call, speed, moves in zip(self.whole["call"], frequency, migrations, strict=True)
        }

    def waiting(self, calls: Sequence[int]) -> dict[str, float]:
        """Kind of waiting -> seconds of a thread over these calls, the mean over the threads; {} without operations."""
        if self.parts.empty:
            return {}
        of_calls = _summed(self._waiting, calls)
        return {kind: of_calls.get(kind, 0.0) for kind in WAITING}

    def barrier_by_thread(self, calls: Sequence[int]) -> dict[int, float]:
        """Thread that walked these calls -> seconds that it waited at barriers in them; {} without threads."""
        if self.n_threads < 2:
            return {}
        of_calls = _summed(self._at_barriers, calls)
        walked = self.parts_of(calls)["thread"].dropna().unique()
        return {int(thread): of_calls.get(thread, 0.0) for thread in walked}

    def switches(self, calls: Sequence[int]) -> float:
        """Context switches a call, NaN where they were not counted."""
        at = [self.places[call] for call in calls if call in self.places]
        counted = self._switches[at]
        known = counted[~np.isnan(counted)]
        return float(known.mean()) if len(known) else math.nan

    @cached_property
    def _switches(self) -> np.ndarray:
        return self._numbers("context_switches")

    @cached_property
    def places(self) -> dict[int, int]:
        """Where in `whole` the call of each number stands."""
        return {call: place for place, call in enumerate(self.whole["call"].tolist())}

    @cached_property
    def _waiting(self) -> pd.DataFrame:
        """Mean seconds of a thread by call and kind of waiting."""
        rows = self.parts[self.parts["op"].isin(list(WAITING))]
        threads = self.parts.groupby("call")["thread"].nunique().clip(lower=1) if "thread" in self.parts else None
        sums = rows.groupby(["call", "op"])["duration_s"].sum().unstack(fill_value=0.0)
        return sums if threads is None else sums.div(threads.reindex(sums.index), axis=0)

    @cached_property
    def _at_barriers(self) -> pd.DataFrame:
        rows = self.parts[self.parts["op"] == BARRIER]
        return rows.groupby(["call", "thread"])["duration_s"].sum().unstack(fill_value=0.0)

    def _numbers(self, name: str) -> np.ndarray:
        if name not in self.whole:
            return np.full(len(self.whole), math.nan)
        values: np.ndarray = self.whole[name].to_numpy(dtype=np.float64)
        return values


def tensor_name(tensor: str) -> str:
    """A tensor's name without layer and ending, of fused ones each: `ffn_gate+ffn_up`."""
    return "+".join(_LAYER.sub("", part).removesuffix(".weight") for part in tensor.split("+"))


def _weights(rows: pd.DataFrame) -> pd.Series:
    """Of each row `ffn_gate+ffn_up Q4_0 3072x576`, '' without a tensor."""
    if "tensor" not in rows or rows.empty:
        return pd.Series("", index=rows.index, dtype=object)
    names = rows["tensor"].map({tensor: tensor_name(tensor) for tensor in rows["tensor"].unique()})
    for column in ("type", "shape"):
        if column in rows:
            names = names.str.cat(rows[column], sep=" ")
    return names.str.strip().where(rows["tensor"] != "", "")


def _pieces(rows: pd.DataFrame) -> np.ndarray:
    """One layer quantises activations several times: a thread's first row belongs with the other threads' first."""
    keys = [key for key in ("call", "op", "layer", "tensor", "type", "shape") if key in rows]
    alike = rows.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    of_threads = {"alike": alike, **({"thread": rows["thread"].to_numpy()} if "thread" in rows else {})}
    turns = pd.DataFrame(of_threads).groupby(list(of_threads), sort=False, dropna=False).cumcount().to_numpy()
    found: np.ndarray = pd.DataFrame({"alike": alike, "turn": turns}).groupby(["alike", "turn"]).ngroup().to_numpy()
    return found


def _work(rows: pd.DataFrame) -> np.ndarray:
    """Multiplications and additions of each; an embedding looks rows up and multiplies nothing."""
    if "shape" not in rows:
        return np.zeros(len(rows))
    elements = rows["shape"].map({shape: n_weights(shape) for shape in rows["shape"].unique()})
    multiplies = ~rows["op"].isin(("embedding", "embed")).to_numpy()
    return np.asarray(2.0 * elements.to_numpy(dtype=np.float64) * rows["n_eval"].to_numpy() * multiplies)


def _weight_bytes(rows: pd.DataFrame) -> np.ndarray:
    """Bytes of weights that each reads, 0 where none; NaN where it reads a tensor and does not say how many."""
    known: np.ndarray = rows["weight_bytes"].to_numpy(dtype=np.float64, copy=True)
    reads_none = rows["tensor"].to_numpy() == "" if "tensor" in rows else True
    known[np.isnan(known) & reads_none] = 0.0
    return known


def _summed(of_calls: pd.DataFrame, calls: Sequence[int]) -> dict[Any, float]:
    """The sum of each column over these calls, which are the rows' names."""
    at = of_calls.index.get_indexer(pd.Index(calls))
    sums = of_calls.to_numpy()[at[at >= 0]].sum(axis=0)
    return dict(zip(of_calls.columns.tolist(), sums.tolist(), strict=True))


def event_column(name: str) -> EventColumn | None:
    """The event and group of a column's name, None for a column that counts nothing."""
    match = _COLUMN.fullmatch(name)
    return EventColumn(name, match[1], match[2]) if match and match[1] not in TIMES else None


def holds_numbers(name: str) -> bool:
    """Whether a column's name is one of an event or of a group's times."""
    return bool(_COLUMN.fullmatch(name))


def n_weights(shape: object) -> float:
    """Rows times columns of a row's `shape`, `576x1536`; 0 where it tells none."""
    match = _SHAPE.fullmatch(str(shape).replace(" ", ""))
    return float(match[1]) * float(match[2]) if match else 0.0


def scaled_counts(rows: pd.DataFrame, column: str, group: str) -> tuple[np.ndarray, np.ndarray]:
    """(counts scaled to the time the group was enabled, NaN where not counted; running share) of an event column."""
    count = rows[column].to_numpy(dtype=np.float64, copy=True)
    enabled, running = (f"{name}@{group}" for name in TIMES)
    if enabled not in rows or running not in rows:
        return count, np.where(np.isnan(count), 0.0, 1.0)
    time_enabled = rows[enabled].to_numpy(dtype=np.float64)
    time_running = rows[running].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip(np.nan_to_num(time_running / time_enabled), 0.0, 1.0)
        count = np.where(share > 0, count / share, np.nan)
    return count, np.where(np.isnan(count), 0.0, share)
