"""Captures of one model over thread counts and prompt lengths, brought into one table for `analysis.scaling`.

A phase counts as decode where every call evaluates one token, else as prefill: by what was done, not by its label.
Calls of several tokens behind a generation's first phase are guesses that were checked, and neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from analysis import waits
from analysis.changes import operation_rows
from analysis.errors import AnalysisError, printable
from analysis.judging import Capture, JudgedPhase
from analysis.phase import Step

PREFILL, DECODE = "prefill", "decode"
KINDS = (PREFILL, DECODE)
OTHER = "other"


@dataclass(frozen=True)
class Combination:
    """One kind of phase at one thread count and prompt length, over every repetition found.

    rates: tokens a second of each repetition.  steps: (n_past, seconds) of every step.
    components: operation -> seconds in it, for each step.  tokens: evaluated by each step.
    """

    kind: str
    threads: int
    prompt: int
    rates: list[float] = field(default_factory=list)
    steps: list[tuple[int, float]] = field(default_factory=list)
    components: dict[str, list[float]] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Median tokens a second over the repetitions, NaN without any."""
        return median(self.rates) if self.rates else math.nan

    def per_token(self, component: str) -> float:
        """Seconds a token in the component, NaN where it was not timed."""
        values = self.components.get(component)
        return sum(values) / sum(self.tokens) if values and sum(self.tokens) else math.nan

    def share(self, component: str) -> float:
        """The component's share of the steps' time, 0..1."""
        total = sum(seconds for _, seconds in self.steps)
        return sum(self.components.get(component, [])) / total if total else math.nan


def gather(captures: Iterable[Capture]) -> list[Combination]:
    """One entry for each kind, thread count and prompt length, sorted. AnalysisError for a capture without calls."""
    found: dict[tuple[str, int, int], Combination] = {}
    for capture in captures:
        if capture.is_emulated:
            raise AnalysisError("its counts are emulated, and an emulator's clock tells no speed", path=capture.path)
        threads_of(capture)  # or it is refused before anything else is found missing
        prompts = _prompts(capture.judged())
        used, begun = False, set[tuple[int, str, str]]()
        for phase in capture.judged():
            kind = kind_of(phase)
            prompt = prompts.get(phase.phase.generation)
            which = (phase.phase.generation, phase.phase.pmu, phase.phase.scope)
            guesses = kind == PREFILL and which in begun
            begun.add(which)
            if kind and prompt and not guesses:
                used = True
                key = (kind, threads_of(capture, phase.phase.steps), prompt)
                _add(found.setdefault(key, Combination(*key)), phase, capture)
        if not used:
            raise AnalysisError("no prefill and no decode calls in it", path=capture.path)
    return sorted(found.values(), key=lambda entry: (KINDS.index(entry.kind), entry.threads, entry.prompt))


def kind_of(phase: JudgedPhase) -> str | None:
    """Prefill or decode by the calls' tokens, None for a phase without calls."""
    if not phase.phase.steps:
        return None
    return DECODE if all(step.n_eval == 1 for step in phase.phase.steps) else PREFILL


def threads_of(capture: Capture, steps: Sequence[Step] = ()) -> int:
    """Threads of these steps: by the capture's header, else those of its rows. AnalysisError where neither tells."""
    if given := waits.threads_of(capture.header, steps):
        return given
    calls = capture.table.calls
    if calls is not None and calls.n_threads:
        return calls.n_threads
    raise AnalysisError("it does not tell how many threads ran (header key n_threads)", path=capture.path)


def of_kind(found: Sequence[Combination], kind: str) -> list[Combination]:
    return [entry for entry in found if entry.kind == kind]


def threads_in(found: Sequence[Combination]) -> list[int]:
    return sorted({entry.threads for entry in found})


def prompts_in(found: Sequence[Combination]) -> list[int]:
    return sorted({entry.prompt for entry in found})


def at(found: Sequence[Combination], threads: int, prompt: int) -> Combination | None:
    return next((entry for entry in found if entry.threads == threads and entry.prompt == prompt), None)


def speed_up(found: Sequence[Combination], threads: int, prompt: int, component: str | None = None) -> float:
    """How much faster than with the fewest threads, by tokens a second or one component's time; NaN if not known."""
    base, entry = at(found, threads_in(found)[0], prompt), at(found, threads, prompt)
    if base is None or entry is None:
        return math.nan
    if component is None:
        return entry.rate / base.rate if base.rate > 0 else math.nan
    seconds = entry.per_token(component)
    return base.per_token(component) / seconds if seconds > 0 else math.nan


def leading_components(found: Sequence[Combination], most: int = 6) -> list[str]:
    """The operations that took most time over all, longest first."""
    totals: dict[str, float] = {}
    for entry in found:
        for name, seconds in entry.components.items():
            totals[name] = totals.get(name, 0.0) + sum(seconds)
    return sorted(totals, key=lambda name: -totals[name])[:most]


def _prompts(phases: Sequence[JudgedPhase]) -> dict[int, int]:
    """Generation -> tokens of its prompt: those of its prefill, else the positions before its first decoded token."""
    prompts: dict[int, int] = {}
    for phase in phases:
        if kind_of(phase) == PREFILL:
            prompts.setdefault(phase.phase.generation, phase.phase.n_tokens)
    for phase in phases:
        if kind_of(phase) == DECODE and phase.phase.generation not in prompts:
            prompts[phase.phase.generation] = max(1, phase.phase.steps[0].n_past)
    return prompts


def _add(entry: Combination, phase: JudgedPhase, capture: Capture) -> None:
    if math.isfinite(phase.tokens_per_second):
        entry.rates.append(phase.tokens_per_second)
    steps = phase.evidence.steps
    entry.steps.extend((step.n_past, step.duration_s) for step in steps)
    entry.tokens.extend(step.n_eval for step in steps)
    for name, rows in operation_rows(phase, capture.table).items():
        values = np.asarray(rows)[:, 0]
        entry.components.setdefault(printable(name, 40), []).extend(float(value) for value in values)
