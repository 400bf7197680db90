"""Results of benchmarks that are of one setup: the same model, test and settings, as far as files tell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from analysis import medians
from analysis.bench_result import ORIGINS, SETTINGS, Benchmark
from analysis.errors import AnalysisError

_SAME_SIZE = 0.01
"""Of sizes of one model: tables round them."""
_MOST_ASKED = 400_000
"""Pairs of setups that may be one, where some files tell less of them than others."""
_MOST_OF_SAMPLES = 8_000_000
"""Pairs of samples, of all results that are compared."""


@dataclass(frozen=True)
class Pair:
    """Two results of one setup. ratio: how many times as fast as ``base`` the other is, by samples where both have
    some.  interval: 95 %, of repetitions within a run each; None without samples, and with fewer than four."""

    base: Benchmark
    other: Benchmark
    ratio: float
    interval: medians.Interval | None

    @property
    def differs(self) -> bool:
        return self.interval is not None and not self.interval[0] <= 1 <= self.interval[1]

    @property
    def verdict(self) -> str:
        if self.interval is None:
            few = self.base.samples and self.other.samples
            return "too few samples" if few else "no samples"
        return "no difference shown" if not self.differs else "faster" if self.ratio > 1 else "slower"

    @property
    def is_regression(self) -> bool:
        return self.differs and self.ratio < 1


def pair(base: Benchmark, other: Benchmark, n_pairs: int = 1) -> Pair:
    """What is known of two results. n_pairs: that are compared in all; of many, fewer samples of each are."""
    if base.samples and other.samples:
        most = math.isqrt(_MOST_OF_SAMPLES // max(1, n_pairs))
        return Pair(base, other, *medians.times(other.samples, base.samples, min(most, medians.MOST_OF_A_SIDE)))
    return Pair(base, other, other.rate / base.rate, None)


class _Fits:
    """`fit`, asked once of all that are alike: a file may have thousands of results of one setup.

    AnalysisError where there are so many setups that asking would take long.
    """

    def __init__(self, *results: Sequence[Benchmark]) -> None:
        self._numbers: dict[int, int] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._one_of: list[Benchmark] = []
        numbers: dict[tuple[object, ...], int] = {}
        for result in chain(*results):
            settings = frozenset(result.settings.items())
            key = (result.test, settings, result.filename, result.model, result.bytes)
            number = numbers.setdefault(key, len(numbers))
            if number == len(self._one_of):
                self._one_of.append(result)
            self._numbers[id(result)] = number

    def number(self, result: Benchmark) -> int:
        """The same of results that fit the same others."""
        return self._numbers[id(result)]

    def of(self, one: int, other: int) -> int:
        """`fit` of results of these numbers."""
        known = self._known.get((one, other))
        if known is None:
            if len(self._known) >= _MOST_ASKED:
                raise AnalysisError(f"{len(self._one_of)} setups are too many to compare: read fewer files, or tests")
            known = self._known[one, other] = fit(self._one_of[one], self._one_of[other])
        return known


class _Alike:
    """Numbers of results by test and settings: of two that tell the same settings only equals can fit."""

    def __init__(self) -> None:
        self._by_test: dict[str, dict[frozenset[str], dict[frozenset[tuple[str, str]], dict[int, list[int]]]]] = {}

    def add(self, result: Benchmark, number: int, place: int) -> None:
        """place: what is to be found by the number."""
        by_settings = self._by_test.setdefault(result.test, {}).setdefault(frozenset(result.settings), {})
        by_settings.setdefault(frozenset(result.settings.items()), {}).setdefault(number, []).append(place)

    def of(self, result: Benchmark) -> Iterator[tuple[int, list[int]]]:
        """Each number that may fit, and its places."""
        for names, by_settings in self._by_test.get(result.test, {}).items():
            if names == result.settings.keys():
                yield from by_settings.get(frozenset(result.settings.items()), {}).items()
            else:
                yield from chain.from_iterable(found.items() for found in by_settings.values())


def setups(results: Sequence[Benchmark]) -> list[list[Benchmark]]:
    """Results of one setup each, in the order of their first ones.

    A table tells less than JSON: a result that would fit several setups is one of its own.
    """
    order = {id(result): number for number, result in enumerate(results)}
    fits = _Fits(results)
    found: list[list[Benchmark]] = []
    members: list[set[int]] = []  # of each setup, the numbers
    firsts = _Alike()
    for result in sorted(results, key=lambda one: -len(one.settings)):
        mine = fits.number(result)
        fitting = [groups for first, groups in firsts.of(result) if fits.of(first, mine)]
        only = fitting[0][0] if len(fitting) == 1 and len(fitting[0]) == 1 else -1
        if only >= 0 and all(fits.of(member, mine) for member in members[only]):
            found[only].append(result)
            members[only].add(mine)
        else:
            firsts.add(result, mine, len(found))
            found.append([result])
            members.append({mine})
    ordered = [sorted(group, key=lambda one: order[id(one)]) for group in found]
    return sorted(ordered, key=lambda group: order[id(group[0])])


def fit(one: Benchmark, other: Benchmark) -> int:
    """How sure two results are of one setup: 0 they are not, 1 by the model's kind and size, 2 by its file's name."""
    is_one_file = bool(one.filename) and one.filename == other.filename
    if one.test != other.test or not (is_one_file or (one.model and one.model == other.model)):
        return 0
    if any(other.settings.get(name, value) != value for name, value in one.settings.items()):
        return 0
    if is_one_file:
        return 2
    if one.bytes is None or other.bytes is None:
        return 1
    return int(abs(one.bytes - other.bytes) <= _SAME_SIZE * max(one.bytes, other.bytes))


def against(new: Sequence[Benchmark], old: Sequence[Benchmark]) -> tuple[list[Pair], int]:
    """Every result that has one before, the last one of its setup; and how many fit several setups."""
    fits = _Fits(new, old)
    before = _Alike()
    for at, result in enumerate(old):
        before.add(result, fits.number(result), at)
    found: list[Pair] = []
    unclear = 0
    for result in new:
        mine = fits.number(result)
        sure = [(rank, places[-1], each) for each, places in before.of(result) if (rank := fits.of(each, mine))]
        best = max(sure, default=(0, 0, 0))
        if not all(fits.of(best[2], each) for rank, _, each in sure if rank == best[0]):
            unclear += 1
        elif sure:
            found.append(pair(old[best[1]], result, len(new)))
    return found, unclear


def within(results: Sequence[Benchmark]) -> list[Pair]:
    """Every result of a setup against the setup's first."""
    return [pair(group[0], other, len(results)) for group in setups(results) for other in group[1:]]


@dataclass(frozen=True)
class Differing:
    """In which columns results differ, so that a row need not have the others."""

    model: bool
    file: bool
    settings: tuple[str, ...]
    origins: tuple[str, ...]
    shared_names: frozenset[str]
    """Names of models that several files have."""

    @classmethod
    def of(cls, results: Sequence[Benchmark]) -> Differing:
        """Of results that stand in one table."""

        def several(told: Callable[[Benchmark], Mapping[str, str]], names: Mapping[str, object]) -> Iterator[str]:
            for name in names:  # among tests of one kind, as those of generations have no batch
                values = {(result.kind, told(result).get(name, "")) for result in results}
                if len(values) > len({kind for kind, _ in values}):
                    yield name

        models = {(result.model, result.filename) for result in results if result.filename}
        names = Counter(model for model, _ in models)
        return cls(
            len({result.model or result.filename for result in results}) > 1 or len(models) > 1,
            len({result.source for result in results}) > 1,
            tuple(several(lambda result: result.settings, SETTINGS)),
            tuple(several(lambda result: result.origin, ORIGINS)),
            frozenset(name for name, n in names.items() if n > 1),
        )

    def name(self, result: Benchmark) -> str:
        """The model's, by its kind, and by its file where that is needed to tell it."""
        file = result.filename.removesuffix(".gguf")
        if not result.model or not file or result.model not in self.shared_names:
            return result.model or file or "-"
        return f"{result.model} ({file})"

    def setup(self, result: Benchmark) -> str:
        """What is the same before and after: "tg128, threads 4, llama 7B Q4_0"."""
        return ", ".join([*self._test(result), *[self.name(result)] * self.model])

    def label(self, result: Benchmark) -> str:
        """All of it, the model last: labels are cut where there is little room."""
        origin = self.origin(result)
        return ", ".join([*self._test(result), *[origin] * bool(origin), *[self.name(result)] * self.model])

    def _test(self, result: Benchmark) -> list[str]:
        return [result.test, *(f"{n} {result.settings[n]}" for n in self.settings if n in result.settings)]

    def origin(self, result: Benchmark) -> str:
        """Where it comes from: "build 5163", or "commit 8cf427ff" without a build's number."""
        told = [
            _origin(name, result.origin[name])
            for name in self.origins
            if name in result.origin and (name != "commit" or "build" not in result.origin)
        ]
        return ", ".join(told + [result.source] * (self.file and not told))


def _origin(name: str, text: str) -> str:
    return f"{name} {text}" if name in ("commit", "build") else text
