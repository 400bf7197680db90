"""Results of benchmarks that are of one setup: the same model, test and settings, as far as files tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis import medians
from analysis.bench_result import ORIGINS, SETTINGS, Benchmark

_SAME_SIZE = 0.01
"""Of sizes of one model: tables round them."""


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


def pair(base: Benchmark, other: Benchmark) -> Pair:
    """What is known of two results."""
    if base.samples and other.samples:
        return Pair(base, other, *medians.times(other.samples, base.samples))
    return Pair(base, other, other.rate / base.rate, None)


def setups(results: Sequence[Benchmark]) -> list[list[Benchmark]]:
    """Results of one setup each, in the order of their first ones.

    A table tells less than JSON: a result that would fit several setups is one of its own.
    """
    order = {id(result): number for number, result in enumerate(results)}
    groups: dict[str, list[list[Benchmark]]] = {}
    for result in sorted(results, key=lambda one: -len(one.settings)):
        of_test = groups.setdefault(result.test, [])
        fitting = [group for group in of_test if fit(group[0], result)]
        if len(fitting) == 1 and all(fit(member, result) for member in fitting[0]):
            fitting[0].append(result)
        else:
            of_test.append([result])
    found = [sorted(group, key=lambda one: order[id(one)]) for of_test in groups.values() for group in of_test]
    return sorted(found, key=lambda group: order[id(group[0])])


def fit(one: Benchmark, other: Benchmark) -> int:
    """How sure two results are of one setup: 0 they are not, 1 by the model's kind and size, 2 by its file's name."""
    if one.test != other.test:
        return 0
    shared = one.settings.keys() & other.settings.keys()
    if any(one.settings[name] != other.settings[name] for name in shared):
        return 0
    if one.filename and one.filename == other.filename:
        return 2
    if one.model != other.model or not one.model:
        return 0
    if one.bytes is None or other.bytes is None:
        return 1
    return int(abs(one.bytes - other.bytes) <= _SAME_SIZE * max(one.bytes, other.bytes))


def against(new: Sequence[Benchmark], old: Sequence[Benchmark]) -> tuple[list[Pair], int]:
    """Every result that has one before, the last one of its setup; and how many fit several setups."""
    by_test: dict[str, list[Benchmark]] = {}
    for result in old:
        by_test.setdefault(result.test, []).append(result)
    found: list[Pair] = []
    unclear = 0
    for result in new:
        sure = [(fit(each, result), each) for each in by_test.get(result.test, ())]
        best = max((rank for rank, _ in sure), default=0)
        partners = [each for rank, each in sure if rank == best and best]
        if partners and not all(fit(partners[-1], each) for each in partners):
            unclear += 1
        elif partners:
            found.append(pair(partners[-1], result))
    return found, unclear


def within(results: Sequence[Benchmark]) -> list[Pair]:
    """Every result of a setup against the setup's first."""
    return [pair(group[0], other) for group in setups(results) for other in group[1:]]


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
        names = [model for model, _ in models]
        return cls(
            len({result.model or result.filename for result in results}) > 1 or len(models) > 1,
            len({result.source for result in results}) > 1,
            tuple(several(lambda result: result.settings, SETTINGS)),
            tuple(several(lambda result: result.origin, ORIGINS)),
            frozenset(name for name in names if names.count(name) > 1),
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
