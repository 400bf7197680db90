"""Bootstrap intervals of ratios over steps, so that "changed" means more than "differs". Seeded, so repeatable."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from analysis.formula import Formula, Unknown
from analysis.metrics import LINE_BYTES, PARAMETERS, tokens_of
from analysis.phase import Phase, Step, columns_of

RESAMPLES = 1000
LEVEL = 0.95
SEED = 20240501
_TOGETHER = 64  # quantities
_SMALL = 1 << 18
"""Multiplications of a product that OpenBLAS does on one thread."""
MOST_ROWS = 2048
"""Of more steps neighbours are taken together, so that time and memory stay what they are for so many."""

Interval = tuple[float, float]


def rows_of(steps: Sequence[Step | Phase], events: Sequence[str]) -> np.ndarray:
    """Array [usable steps, events + 2]: counts of `events` counted together, then seconds and tokens.

    A step in which one of the events was not counted (groups take turns) has no row.
    """
    if events and (found := columns_of(steps)):
        values, known = found[0].together(found[1], events)
        seconds = np.array([step.duration_s for step in steps])
        tokens = np.array([step.n_eval for step in steps if isinstance(step, Step)], dtype=np.float64)
        of_all = np.column_stack((values, seconds, tokens))
        usable: np.ndarray = of_all[known & (seconds > 0)]
        return usable
    rows = []
    for step in steps:
        counts = step.together(*events) if events else {}
        if counts is not None and step.duration_s > 0:
            values = [counts[event].value for event in events]
            rows.append([*values, step.duration_s, float(tokens_of(step))])
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(events) + 2)


def bootstrap(
    steps: Sequence[Step | Phase], formula: Formula, *, slots: int | None = None, least: int = 8
) -> Interval | None:
    """The 95 % interval of `formula` over resampled sums of the steps' counts; None with fewer than `least` steps.

    Sums are resampled, not ratios: a short step weighs as little in the interval as it does in the phase.
    """
    values = resample(steps, formula, slots=slots, least=least)
    if values is None:
        return None
    return ends(values)


def resample(
    steps: Sequence[Step | Phase], formula: Formula, *, slots: int | None = None, least: int = 8, seed: int = SEED
) -> np.ndarray | None:
    """`RESAMPLES` values of the formula, each over as many steps drawn with replacement; None with too few steps."""
    if len(steps) < least:
        return None
    events = [name for name in formula.names if name not in PARAMETERS]
    rows = rows_of(steps, events)
    if len(rows) < least:
        return None
    rows = _merged(rows)
    times_drawn = _times_drawn(len(rows), seed)
    names = [*events, "SECONDS", "TOKENS"]
    constants = {"LINE": float(LINE_BYTES), "SLOTS": float(slots) if slots else None}
    known = _values(formula, names, _sums(times_drawn, rows), constants)
    return known if len(known) >= RESAMPLES // 2 else None


def _values(
    formula: Formula, names: Sequence[str], sums: np.ndarray, constants: Mapping[str, float | None]
) -> np.ndarray:
    """The formula of each row of sums, those left out that it does not define."""
    columns = {**dict(zip(names, sums.T, strict=True)), **constants}
    if np.isfinite(sums).all() and all(columns.get(name) is not None for name in formula.names):
        with contextlib.suppress(ZeroDivisionError, FloatingPointError):  # of some row: they are looked at one by one
            with np.errstate(all="ignore", divide="raise", invalid="raise"):
                found = np.broadcast_to(formula.of_arrays(columns), len(sums))
            known: np.ndarray = found[np.isfinite(found)]
            return known
    drawn = (dict(zip(names, map(float, row), strict=True)) for row in sums)
    outcomes = (formula.evaluate({**row, **constants}) for row in drawn)
    return np.array([outcome for outcome in outcomes if not isinstance(outcome, Unknown)])


def _sums(times_drawn: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Their product, in pieces that are each too small to be shared among threads: starting those takes longer."""
    at_once = max(1, _SMALL // max(1, rows.size))
    if at_once >= len(times_drawn):
        found: np.ndarray = times_drawn @ rows
        return found
    return np.concatenate([times_drawn[at : at + at_once] @ rows for at in range(0, len(times_drawn), at_once)])


def _merged(rows: np.ndarray) -> np.ndarray:
    """At most MOST_ROWS rows, each the sum of as many neighbours as that takes."""
    if len(rows) <= MOST_ROWS:
        return rows
    merged: np.ndarray = np.add.reduceat(rows, np.arange(0, len(rows), -(-len(rows) // MOST_ROWS)), axis=0)
    return merged


@lru_cache(maxsize=2)
def _times_drawn(n: int, seed: int) -> np.ndarray:
    """[resamples, n]: how often each of n rows is drawn. Kept for the next ratio of the same phase."""
    picks = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    found = np.empty((RESAMPLES, n))
    for place, row in enumerate(picks):
        found[place] = np.bincount(row, minlength=n)
    return found


def resample_ratio(rows: np.ndarray, *, least: int = 8, seed: int = SEED) -> np.ndarray | None:
    """`RESAMPLES` values of sum(first column) / sum(second column) over rows drawn with replacement.

    rows: [samples, 2]. None with fewer than `least` rows or where the second column can sum to nothing.
    """
    (values,) = resample_ratios([rows], least=least, seed=seed)
    return values


def resample_ratios(of_each: Sequence[np.ndarray], *, least: int = 8, seed: int = SEED) -> list[np.ndarray | None]:
    """The same of several; those that have the second column in common are drawn together, which takes far less."""
    found: list[np.ndarray | None] = [None] * len(of_each)
    alike: dict[bytes, list[int]] = {}
    for at, rows in enumerate(of_each):
        if len(rows) >= least and (rows[:, 1] > 0).all():
            alike.setdefault(rows[:, 1].tobytes(), []).append(at)
    for every in alike.values():
        for places in (every[at : at + _TOGETHER] for at in range(0, len(every), _TOGETHER)):
            columns = [of_each[at][:, 0] for at in places]
            rows = _merged(np.column_stack([*columns, of_each[places[0]][:, 1]]))
            sums = np.zeros((RESAMPLES, rows.shape[1]))
            for drawn in _picks(len(rows), seed):
                sums += rows[drawn]
            for column, at in enumerate(places):
                found[at] = sums[:, column] / sums[:, -1]
    return found


@lru_cache(maxsize=4)
def _picks(n: int, seed: int) -> np.ndarray:
    """[n, resamples]: which of n rows each draw of each resample takes. Kept for the next quantity of the phases."""
    picks = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    return np.ascontiguousarray(picks.T.astype(np.int32))


def ends(values: np.ndarray) -> Interval:
    """The 95 % interval of resampled values."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
