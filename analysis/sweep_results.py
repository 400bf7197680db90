"""What `q4engine sweep` left in its file (docs/experiments.md has the schema): setups, their times by block."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from analysis import sweep_file
from analysis.errors import AnalysisError, printable
from analysis.sweep_file import AXES

PHASES = ("prefill", "decode", "whole", "tokenize", "load")
USABLE = ("done", "noisy")
_MOST_SETUPS, _MOST_VALUES = 10_000, 1_000_000
_LONGEST = 300


@dataclass(frozen=True)
class Setup:
    """One combination. ``values``: of each axis, None where its engine is not told of one. ``known_by``: its hash.

    ``perplexity``: of its model and type, where the plan had them scored.
    """

    known_by: str
    values: Mapping[str, Any]
    model_size: int | None = None
    perplexity: float | None = None

    def name(self, axes: Sequence[str]) -> str:
        """By these axes: "native, threads 2, prompt 64"."""
        return ", ".join(said(axis, self.values[axis]) for axis in axes if self.values[axis] is not None) or "all"


def varied(setups: Sequence[Setup]) -> list[str]:
    """Axes with more than one value among these; that an engine is not told of one is none."""
    return [axis for axis in AXES if len({setup.values[axis] for setup in setups} - {None}) > 1]


def said(axis: str, value: object) -> str:
    """An axis' value in words."""
    if axis == "model":
        return str(value).rpartition("/")[2].removesuffix(".gguf")
    if axis in ("type", "mask", "features") and value == "":
        return {"type": "as it is", "mask": "not pinned", "features": "all features"}[axis]
    return str(value) if axis in ("engine", "type") else f"{axis} {value}"


@dataclass(frozen=True)
class Times:
    """Of one phase. ``seconds``: [setups, blocks], a token's, the median of a run's samples; NaN where there is none.

    ``samples``: every one of a setup, seconds a token. ``tokens``: that a sample evaluates.
    """

    phase: str
    setups: list[Setup]
    seconds: np.ndarray
    samples: list[list[float]]
    tokens: list[int]

    def of(self, row: int) -> np.ndarray:
        """A setup's values that there are."""
        found: np.ndarray = self.seconds[row][np.isfinite(self.seconds[row])]
        return found


@dataclass
class SweepResults:
    """A file's content. ``states``: runs of each state. ``reasons``: why runs failed or are doubtful, with their count.

    ``components``: seconds a token by (setup's hash, phase) and operation, the median of its runs.
    ``tokens``: seconds of each token generated, by setup's hash and the tokens before it, the median of its runs.
    """

    path: Path
    name: str
    settings: Mapping[str, Any]
    times: dict[str, Times]
    components: dict[tuple[str, str], dict[str, float]]
    states: dict[str, int]
    reasons: dict[str, int]
    machines: list[Mapping[str, Any]]
    commits: list[str]
    noisy: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def setups(self) -> list[Setup]:
        """All of which there is a time."""
        return list({setup.known_by: setup for times in self.times.values() for setup in times.setups}.values())

    def varied(self) -> list[str]:
        """Axes with more than one value."""
        return varied(self.setups)


def read(path: Path) -> SweepResults:
    """The file's content; of runs that were repeated the latest attempt. AnalysisError where it is no such file."""
    with sweep_file.opened(path) as base:
        try:
            return _read(base, path)
        except (KeyError, TypeError) as error:  # a run of no combination, axes that cannot be ordered
            raise AnalysisError(f"cannot be read: {error}", path=path) from None


def _read(base: sqlite3.Connection, path: Path) -> SweepResults:
    about = dict(sweep_file.rows(base, path, "about"))
    facts = sweep_file.facts(base, path)
    states: dict[str, int] = {}
    reasons: dict[str, int] = {}
    usable: dict[int, tuple[int, int]] = {}
    disturbed: list[int] = []
    engines: dict[int, Mapping[str, Any]] = {}
    machines: dict[int, None] = {}
    for run, combination, block, _, state, reason, _, _, machine, engine, _ in sweep_file.latest_runs(base, path):
        states[state] = states.get(state, 0) + 1
        if reason:
            reason = printable(reason, _LONGEST)
            reasons[reason] = reasons.get(reason, 0) + 1
        if state in USABLE:
            usable[run] = combination, block
            machines.setdefault(machine)
            engines[combination] = facts.get(engine, {})
        if state == "noisy":
            disturbed.append(combination)
    setups = dict(_setups(base, path, engines))
    noisy: dict[str, int] = {}
    for combination in disturbed:
        known_by = setups[combination].known_by
        noisy[known_by] = noisy.get(known_by, 0) + 1
    commits = dict.fromkeys(printable(str(each["commit"])) for each in engines.values() if each.get("commit"))
    times, components = _times(base, path, usable, setups), _components(base, path, usable, setups)
    known = [facts[number] for number in machines if number in facts]
    settings = sweep_file.json_object(about.get("settings", "{}"), path)
    name = printable(about.get("name", path.stem))
    tokens = _tokens(base, path, usable, setups)
    return SweepResults(path, name, settings, times, components, states, reasons, known, list(commits), noisy, tokens)


def _setups(
    base: sqlite3.Connection, path: Path, engines: Mapping[int, Mapping[str, Any]]
) -> Iterator[tuple[int, Setup]]:
    scored = {(model, kind): value for model, kind, value in sweep_file.perplexities(base, path)}
    for number, known_by, values in sweep_file.combinations(base, path):
        size = engines.get(number, {}).get("model_size")
        shown = [printable(value, _LONGEST) if isinstance(value, str) else value for value in values]
        perplexity = scored.get((values[AXES.index("model")], values[AXES.index("type")]))
        known = dict(zip(AXES, shown, strict=True))
        yield number, Setup(known_by, known, size if type(size) is int else None, perplexity)


def _times(
    base: sqlite3.Connection, path: Path, usable: Mapping[int, tuple[int, int]], setups: Mapping[int, Setup]
) -> dict[str, Times]:
    """By phase, setups in the order of their axes."""
    found: dict[str, dict[int, dict[int, list[float]]]] = {}
    tokens: dict[tuple[str, int], int] = {}
    for run, phase, n, seconds in sweep_file.samples(base, path):
        if run in usable and n > 0:
            combination, block = usable[run]
            found.setdefault(phase, {}).setdefault(combination, {}).setdefault(block, []).append(seconds / n)
            tokens[phase, combination] = n
    for by_setup in found.values():
        blocks = 1 + max(block for by_block in by_setup.values() for block in by_block)
        if len(by_setup) > _MOST_SETUPS or len(by_setup) * blocks > _MOST_VALUES:
            expected = f"expected at most {_MOST_SETUPS} and {_MOST_VALUES} runs"
            raise AnalysisError(f"has {len(by_setup)} setups in {blocks} blocks, {expected}", path=path)
    return {phase: _table(phase, found[phase], tokens, setups) for phase in PHASES if phase in found}


def _table(
    phase: str,
    found: Mapping[int, Mapping[int, list[float]]],
    tokens: Mapping[tuple[str, int], int],
    setups: Mapping[int, Setup],
) -> Times:
    numbers = sorted(found, key=lambda number: _place(setups[number]))
    blocks = 1 + max(block for by_block in found.values() for block in by_block)
    seconds = np.full((len(numbers), blocks), np.nan)
    for row, number in enumerate(numbers):
        for block, values in found[number].items():
            seconds[row, block] = np.median(values)
    samples = [[value for values in found[number].values() for value in values] for number in numbers]
    return Times(phase, [setups[number] for number in numbers], seconds, samples, [tokens[phase, n] for n in numbers])


def _place(setup: Setup) -> tuple[tuple[bool, object], ...]:
    """Numbers by their size, texts by the alphabet, what an engine is not told of last."""
    values = (setup.values[axis] for axis in AXES)
    return tuple((value is None, 0 if value is None else value) for value in values)


def _tokens(
    base: sqlite3.Connection, path: Path, usable: Mapping[int, tuple[int, int]], setups: Mapping[int, Setup]
) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, list[float]]] = {}
    for run, n_past, seconds in sweep_file.tokens(base, path):
        if run in usable:
            of_setup = found.setdefault(setups[usable[run][0]].known_by, {})
            of_setup.setdefault(n_past, []).append(seconds)
    return {key: {n: median(values) for n, values in sorted(of.items())} for key, of in found.items()}


def _components(
    base: sqlite3.Connection, path: Path, usable: Mapping[int, tuple[int, int]], setups: Mapping[int, Setup]
) -> dict[tuple[str, str], dict[str, float]]:
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for run, phase, name, tokens, seconds in sweep_file.components(base, path):
        if run in usable and tokens > 0:
            of_setup = found.setdefault((setups[usable[run][0]].known_by, phase), {})
            of_setup.setdefault(printable(name), []).append(seconds / tokens)
    return {key: {name: median(values) for name, values in by_name.items()} for key, by_name in found.items()}
