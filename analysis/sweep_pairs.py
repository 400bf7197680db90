"""Comparisons of setups: within a sweep block by block, with an older sweep over all that both have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np

from analysis import medians
from analysis.sweep_file import AXES
from analysis.sweep_results import Setup, SweepResults, Times

_MOST_KINDS = 64  # of engines and what they are told
MOST_PAIRS = 20_000
_CHUNK = 500
_PERMUTATIONS = 2000
_CELLS = 1_000_000  # values that are dealt out at a time
_SEED = 20240501
_CHANCE = 1 - medians.LEVEL


@dataclass(frozen=True)
class Pair:
    """``ratio``: how many times as fast the one is as the other, with its interval; None with too few blocks."""

    phase: str
    one: Setup
    other: Setup
    ratio: float
    interval: medians.Interval | None
    blocks: int

    @property
    def differs(self) -> bool:
        """Whether a difference is shown."""
        return self.interval is not None and not self.interval[0] <= 1 <= self.interval[1]

    @property
    def verdict(self) -> str:
        if self.interval is None:
            return f"too few blocks ({self.blocks}, {medians.LEAST} tell)"
        return "no difference shown" if not self.differs else "faster" if self.ratio > 1 else "slower"

    @property
    def axes(self) -> list[str]:
        """In which the two differ, of those that both engines are told of."""
        sides = self.one.values, self.other.values
        return [
            axis for axis in AXES if sides[0][axis] != sides[1][axis] and None not in (sides[0][axis], sides[1][axis])
        ]


def pairs(times: Times, only_neighbours: bool = False) -> Iterator[Pair]:
    """Every two setups of a phase, by the blocks that both have; those that differ in one axis alone come first.

    only_neighbours: no others, as also where there would be more than `MOST_PAIRS`; of so many neighbours the first.
    """
    numbers = dict.fromkeys(islice(_neighbours(times.setups), MOST_PAIRS))
    n = len(times.setups)
    if not only_neighbours and n * (n - 1) // 2 <= MOST_PAIRS:
        numbers |= dict.fromkeys(combinations(range(n), 2))
    found = list(numbers)
    for at in range(0, len(found), _CHUNK):
        yield from _compared(times, found[at : at + _CHUNK])


def _neighbours(setups: Sequence[Setup]) -> Iterator[tuple[int, int]]:
    """Numbers of setups that differ in one axis alone, of those that both engines are told of."""
    for axis in AXES:
        for group in _grouped(range(len(setups)), setups, [name for name in AXES if name != axis]).values():
            yield from combinations(group, 2)
    kinds = _grouped(range(len(setups)), [Setup("", _told(setup)) for setup in setups], AXES)
    for one, other in combinations(islice(kinds.values(), _MOST_KINDS), 2):
        if setups[one[0]].values["engine"] != setups[other[0]].values["engine"]:
            told = [_told(setups[group[0]]) for group in (one, other)]
            common = [axis for axis in AXES[1:] if told[0][axis] and told[1][axis]]
            matching = _grouped(other, setups, common)
            for number in one:
                key = tuple(setups[number].values[axis] for axis in common)
                yield from (_ordered(number, each) for each in matching.get(key, []))


def _told(setup: Setup) -> dict[str, object]:
    """Its engine, and of which axes that is told."""
    return {axis: value if axis == "engine" else value is not None for axis, value in setup.values.items()}


def _grouped(
    numbers: Iterable[int], setups: Sequence[Setup], axes: Sequence[str]
) -> dict[tuple[object, ...], list[int]]:
    found: dict[tuple[object, ...], list[int]] = {}
    for number in numbers:
        found.setdefault(tuple(setups[number].values[axis] for axis in axes), []).append(number)
    return found


def _ordered(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)


def _compared(times: Times, numbers: Sequence[tuple[int, int]]) -> Iterator[Pair]:
    """Pairs with the same blocks are drawn together."""
    one, other = (times.seconds[[pair[which] for pair in numbers]] for which in range(2))
    found = medians.ratios(one, other)
    known = np.isfinite(found)
    outcomes: dict[int, tuple[float, medians.Interval | None]] = {}
    for mask in {row.tobytes() for row in known}:
        rows = [number for number, row in enumerate(known) if row.tobytes() == mask]
        values = found[rows][:, known[rows[0]]]
        n = values.shape[1]
        if n == 0:
            continue
        middle = np.exp(np.median(values, axis=1))
        low, high = map(np.exp, medians.intervals(values, medians.COMPARED)) if n >= medians.LEAST else (middle, middle)
        for place, row in enumerate(rows):
            interval = (float(low[place]), float(high[place])) if n >= medians.LEAST else None
            outcomes[row] = float(middle[place]), interval
    for row, (first, second) in enumerate(numbers):
        if row in outcomes:
            ratio, interval = outcomes[row]
            blocks = int(known[row].sum())
            yield Pair(times.phase, times.setups[first], times.setups[second], ratio, interval, blocks)


@dataclass(frozen=True)
class Change:
    """A setup in two sweeps. ``ratio``: how many times as fast it is now. ``chance``: of such a change among all of
    them where nothing has changed; None with too few blocks."""

    phase: str
    setup: Setup
    old: float
    new: float
    interval: medians.Interval | None
    chance: float | None

    @property
    def ratio(self) -> float:
        return self.old / self.new

    @property
    def is_shown(self) -> bool:
        outside = self.interval is not None and not self.interval[0] <= 1 <= self.interval[1]
        return outside and self.chance is not None and self.chance <= _CHANCE

    @property
    def is_regression(self) -> bool:
        return self.is_shown and self.ratio < 1

    @property
    def verdict(self) -> str:
        if self.chance is None:
            return "too few blocks"
        return "no difference shown" if not self.is_shown else "slower" if self.ratio < 1 else "faster"


def against(new: SweepResults, old: SweepResults) -> list[Change]:
    """Every setup and phase that both have, but for loading.

    A change is shown where its own interval leaves 1 out and the chance of one so clear among *all* compared is at most
    5 %: blocks are dealt out anew to old and new, all setups together, and the clearest change of each deal counts.
    """
    series = list(_in_both(new, old))
    chances = _chances([(now, then) for _, _, now, then in series])
    changes = []
    for (phase, setup, now, then), chance in zip(series, chances, strict=True):
        interval = _ratio_interval(now, then) if chance is not None else None
        changes.append(Change(phase, setup, medians.middle(then), medians.middle(now), interval, chance))
    return changes


def _in_both(new: SweepResults, old: SweepResults) -> Iterator[tuple[str, Setup, np.ndarray, np.ndarray]]:
    for phase in [phase for phase in new.times if phase in old.times and phase != "load"]:
        then = {setup.known_by: old.times[phase].of(row) for row, setup in enumerate(old.times[phase].setups)}
        for row, setup in enumerate(new.times[phase].setups):
            if setup.known_by in then:
                yield phase, setup, new.times[phase].of(row), then[setup.known_by]


def _ratio_interval(now: np.ndarray, then: np.ndarray) -> medians.Interval | None:
    """Of the older median over the newer one."""
    found = medians.interval_of_difference(np.log(then), np.log(now))
    return None if found is None else (math.exp(found[0]), math.exp(found[1]))


def _chances(series: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[float | None]:
    """Of each series: how often the clearest change of all, blocks dealt out anew, is as clear as its own."""
    found: list[float | None] = [None] * len(series)
    usable = [number for number, two in enumerate(series) if min(map(len, two)) >= medians.LEAST]
    if not usable:
        return found
    sizes = [min(len(series[number][which]) for number in usable) for which in range(2)]
    values = np.array(
        [np.log(np.concatenate([one[:size] for one, size in zip(series[n], sizes, strict=True)])) for n in usable]
    )
    own, n = _clearness(values, sizes[0]), sum(sizes)
    generator = np.random.default_rng(_SEED)
    clearest = np.empty(_PERMUTATIONS)
    step = max(1, _CELLS // values.size)
    for at in range(0, _PERMUTATIONS, step):
        deals = generator.permuted(np.tile(np.arange(n), (min(step, _PERMUTATIONS - at), 1)), axis=1)
        dealt = values[:, deals]  # [series, deals, blocks]
        clearest[at : at + step] = _clearness(dealt, sizes[0]).max(axis=0)
    for place, number in enumerate(usable):
        found[number] = float((1 + np.sum(clearest >= own[place])) / (1 + _PERMUTATIONS))
    return found


def _clearness(values: np.ndarray, n_first: int) -> np.ndarray:
    """Along the last axis: the difference of both parts' medians, against how far values lie from their own."""
    parts = values[..., :n_first], values[..., n_first:]
    middles = [np.median(part, axis=-1) for part in parts]
    apart = [np.abs(part - middle[..., None]).mean(axis=-1) for part, middle in zip(parts, middles, strict=True)]
    found: np.ndarray = np.abs(middles[0] - middles[1]) / np.maximum((apart[0] + apart[1]) / 2, 1e-12)
    return found
