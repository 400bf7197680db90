"""Counts of many steps in columns, an entry a step: summed as arrays, and made objects only where someone asks for one.

What is here gives what `analysis.phase` gives of the same counts step by step, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.phase import NOT_COUNTED, OK, Count, GroupedCounts


@dataclass(frozen=True)
class Column:
    """One event of one group. value: scaled to the whole step, NaN where not counted.  running: share, 0..1.

    measured: what was counted before it was scaled.  status, why: of what was counted, as of a `Count`.
    """

    value: np.ndarray
    running: np.ndarray
    measured: np.ndarray
    status: str = OK
    why: str = ""

    @cached_property
    def counted(self) -> np.ndarray:
        """Whether each step counted the event, be it evidence or not."""
        known: np.ndarray = ~np.isnan(self.value)
        return known

    @property
    def good(self) -> np.ndarray:
        """Whether each step has a count that is evidence."""
        return self.counted if self.status == OK else np.zeros(len(self.value), dtype=bool)

    def count(self, at: int, group: str) -> Count:
        """The count of one step."""
        value, share, raw = self.value.item(at), self.running.item(at), self.measured.item(at)
        if math.isnan(value):
            return Count(value, share, group, NOT_COUNTED, 0, math.nan)
        if self.status != OK:
            return Count(math.nan, share, group, self.status, 1, raw, why=self.why)
        return Count(value, share, group, OK, 1, raw)

    def summed(self, at: np.ndarray, lengths: np.ndarray, group: str) -> Count:
        """The count over the steps of these numbers and lengths in seconds."""
        good = self.good[at]
        total, covered = sum(lengths.tolist()), sum(lengths[good].tolist())
        if not good.any() or covered <= 0 < total:
            status = NOT_COUNTED if self.status == OK or not self.counted[at[0]] else self.status
            return Count(math.nan, 0.0, group, status, 0)
        steps = at[good]
        # in the order of the steps, as numbers are summed one by one: NumPy's own order gives other last digits
        share = sum((self.running[steps] * lengths[good]).tolist())
        value = sum(self.value[steps].tolist())
        return Count(
            value=value * total / covered if covered < total else value,
            running=share / total if total > 0 else 1.0,
            group=group,
            samples=len(steps),
            measured=sum(self.measured[steps].tolist()),
        )


class Columns:
    """Group -> event -> column, all of the same steps."""

    def __init__(self, groups: Mapping[str, Mapping[str, Column]]) -> None:
        self.groups = groups

    def have_any(self, events: AbstractSet[str]) -> bool:
        """Whether one of the events stands in some group."""
        return any(not events.isdisjoint(columns) for columns in self.groups.values())

    def groups_at(self, at: int) -> GroupedCounts:
        """The counts of one step."""
        return {
            group: {event: column.count(at, group) for event, column in columns.items()}
            for group, columns in self.groups.items()
        }

    def summed(self, at: Sequence[int], lengths: Sequence[float]) -> GroupedCounts:
        """The counts over these steps, by group: scaled up by time for those in which an event was not counted."""
        places, seconds = np.array(at, dtype=np.intp), np.array(lengths, dtype=np.float64)
        return {
            group: {event: column.summed(places, seconds, group) for event, column in columns.items()}
            for group, columns in self.groups.items()
        }

    def together(self, at: Sequence[int], events: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(values of `events` [steps, events], whether they were counted fit for a ratio [steps]) of these steps.

        All of one group where some group has them all, of several that which counted the first for the largest share;
        else each event from the group in which it was counted for the largest share.
        """
        places = np.array(at, dtype=np.intp)
        values = np.full((len(places), len(events)), math.nan)
        share = np.full(len(places), -1.0)
        for columns in self.groups.values():
            if all(event in columns for event in events):
                mine = [columns[event] for event in events]
                first = mine[0].running[places]
                better = np.logical_and.reduce([column.good[places] for column in mine]) & (first > share)
                for number, column in enumerate(mine):
                    values[better, number] = column.value[places[better]]
                share[better] = first[better]
        apart = np.flatnonzero(share < 0)
        if len(apart):
            values[apart] = self._apart(places[apart], events)
        return values, ~np.isnan(values).any(axis=1)

    def _apart(self, places: np.ndarray, events: Sequence[str]) -> np.ndarray:
        """Each event from the group in which it was counted for the largest share, NaN where that is no evidence."""
        values = np.full((len(places), len(events)), math.nan)
        for number, event in enumerate(events):
            share = np.full(len(places), -1.0)
            for columns in self.groups.values():
                if event in columns:
                    column = columns[event]
                    running = column.running[places]
                    better = running > share
                    shown = np.where(column.good[places], column.value[places], math.nan)
                    values[better, number] = shown[better]
                    share[better] = running[better]
        return values

    def screened(self, names: Mapping[str, str], why: Mapping[str, tuple[str, str]]) -> Columns:
        """With events under other names (old -> new, no two the same), and (new name -> status, reason) set aside."""
        found: dict[str, dict[str, Column]] = {}
        for group, columns in self.groups.items():
            named = {names.get(event, event): column for event, column in columns.items()}
            found[group] = {event: _aside(column, *why.get(event, ("", ""))) for event, column in named.items()}
        return Columns(found)


def _aside(column: Column, status: str, why: str) -> Column:
    return replace(column, status=status, why=why) if status and column.status == OK else column
