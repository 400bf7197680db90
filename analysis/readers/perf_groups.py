"""Which rows of perf's list were counted together, where an event is listed more than once.

`perf stat -M` asks for the events of every metric, and perf prints them metric by metric: an event stands beside those
it was scheduled with, and they were counted for the same share of the time.
"""

from __future__ import annotations

import numpy as np

SAME_SHARE = 1e-9


def group_numbers(
    times: np.ndarray, scopes: np.ndarray, sources: np.ndarray, shares: np.ndarray, apart: np.ndarray | None
) -> np.ndarray | None:
    """Number from 1 of each row's group, the same in every interval; None where no event is listed twice.

    times: the rows' intervals, in order. scopes, sources: codes. shares: of the time counted, NaN where not told.
    apart: True for rows that are no counts; theirs is 0.
    """
    first = len(times) if np.isnan(times[0]) else int(np.searchsorted(times, times[0], side="right"))
    within = slice(0, first)
    listed = np.flatnonzero(~apart[within]) if apart is not None else np.arange(first)
    keys = scopes[within].astype(np.int64) * (int(sources.max()) + 1) + sources[within]
    if len(np.unique(keys[listed])) == len(listed):
        return None
    rows = np.flatnonzero(~apart) if apart is not None else np.arange(len(times))
    starts_anew = np.concatenate(([True], times[rows][1:] != times[rows][:-1])) if not np.isnan(times[0]) else None
    interval = np.cumsum(starts_anew) - 1 if starts_anew is not None else np.zeros(len(rows), dtype=np.int64)
    order = np.lexsort((scopes[rows], interval))  # stable: perf's own order stays within an interval's scope
    rows, interval = rows[order], interval[order]
    is_first = np.concatenate(([True], (np.diff(interval) != 0) | (np.diff(scopes[rows]) != 0)))
    begins = np.flatnonzero(is_first)
    lengths = np.diff(np.append(begins, len(rows)))
    numbers = np.zeros(len(times), dtype=np.int32)
    if (lengths == lengths[0]).all():
        names, parts = sources[rows].reshape(len(begins), -1), shares[rows].reshape(len(begins), -1)
        if (names == names[0]).all():
            numbers[rows] = np.tile(_numbers_of(names[0], _is_same(parts)), len(begins))
            return numbers
    for begin, length in zip(begins.tolist(), lengths.tolist(), strict=True):
        at = rows[begin : begin + length]
        numbers[at] = _numbers_of(sources[at], np.ones(max(length - 1, 0), dtype=bool))
    return numbers


def _is_same(shares: np.ndarray) -> np.ndarray:
    """Of each row but the first of a list: whether its share is that of the row before, in all intervals."""
    differ = np.abs(shares[:, 1:] - shares[:, :-1]) > SAME_SHARE
    same: np.ndarray = ~(differ | (np.isnan(shares[:, 1:]) != np.isnan(shares[:, :-1]))).any(axis=0)
    return same


def _numbers_of(sources: np.ndarray, same: np.ndarray) -> np.ndarray:
    numbers = np.empty(len(sources), dtype=np.int32)
    number, members = 1, set[int]()
    for at, source in enumerate(sources.tolist()):
        if at and (source in members or not same[at - 1]):
            number, members = number + 1, set()
        members.add(source)
        numbers[at] = number
    return numbers
