"""Where phases and their steps begin and end: from the calls of our captures or from markers, never from counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.calls import Calls
from analysis.errors import AnalysisError
from analysis.phase import Marker, Step

WARMUP_LABELS = ("warmup", "warm-up", "warm_up")
PREFILL, DECODE = "prefill", "decode"
MOST_SPANS = 20_000
"""Each has a verdict of its own: the turns of a chat are far fewer."""
MOST_BETWEEN = 64
"""Calls of other sequences between two of one; behind more, positions that continue are chance."""
UNMARKED_TAIL = 1.5
"""A last step longer than this many times its phase's median holds time after the call, not the call alone."""


@dataclass
class Span:
    """A phase before anything is counted. Its steps follow one another without a gap if `contiguous`; else there may be
    steps of other phases between them.
    """

    label: str
    generation: int
    warmup: bool
    steps: list[Step]
    contiguous: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def start_s(self) -> float:
        return self.steps[0].start_s

    @property
    def end_s(self) -> float:
        return self.steps[-1].start_s + self.steps[-1].duration_s

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s if self.contiguous else sum(step.duration_s for step in self.steps)


class _Kind(NamedTuple):
    generation: int
    label: str
    warmup: bool


def spans_of_calls(calls: Calls) -> list[Span]:
    """One span for the call rows of each label and generation."""
    rows = calls.whole
    labels: list[str | None] = [None] * len(rows)
    if "phase" in rows:
        if rows["phase"].nunique() > MOST_SPANS:  # before anything is made of them
            raise AnalysisError(f"more than {MOST_SPANS} phases")
        labels = [str(p) or None for p in rows["phase"]]
    columns = (rows[c].to_list() for c in ("n_past", "n_eval", "start_s", "duration_s", "call"))
    sequences = rows["sequences"].fillna(1).clip(lower=1).to_list() if "sequences" in rows else [1] * len(rows)
    steps = []
    for n_past, n_eval, start_s, duration_s, call, n in zip(*columns, sequences, strict=True):
        steps.append(step := Step.timed(int(n_past), int(n_eval), start_s, duration_s))
        step.call, step.sequences = int(call), int(n)
    return _gathered(steps, labels, contiguous=False)


def spans_of_markers(markers: Sequence[Marker], start_s: float, end_s: float) -> list[Span]:
    """Spans from markers on the capture's clock, cut to the capture's extent `start_s`..`end_s`, seconds.

    A step lasts until the next marker. Where the last step of a generation is not ended by a marker of its own
    (n_eval 0), it is cut to the median length of the steps like it. Raises AnalysisError if no marker falls in.
    """
    inside = [m for m in markers if start_s <= m.time_s < end_s]
    if not any(m.n_eval for m in inside):
        first, last = (markers[0].time_s, markers[-1].time_s) if markers else (float("nan"), float("nan"))
        raise AnalysisError(
            f"none of {len(markers)} markers ({first:.3f} to {last:.3f} s) falls into the capture "
            f"({start_s:.3f} to {end_s:.3f} s); check --offset"
        )
    steps, labels, is_ended = [], [], []
    for marker, following in zip(inside, [*inside[1:], None], strict=True):
        if marker.n_eval:
            end = following.time_s if following else end_s
            steps.append(Step.timed(marker.n_past, marker.n_eval, marker.time_s, end - marker.time_s))
            labels.append(marker.label)
            is_ended.append(following is not None and _is_end_of(marker, following))
    spans = _gathered(steps, labels, contiguous=True)
    ended = {id(s) for s, e in zip(steps, is_ended, strict=True) if e}
    for span in spans:
        _cut_tail(span, ended)
    outside = len(markers) - len(inside)
    if outside:
        spans[0].notes.append(f"{outside} marker(s) outside the capture's time are not used")
    return spans


def _is_end_of(marker: Marker, following: Marker) -> bool:
    """The next call starts where this one ended, or an end marker stands there."""
    return following.n_eval == 0 or following.n_past == marker.n_past + marker.n_eval


def _cut_tail(span: Span, ended: set[int]) -> None:
    last = span.steps[-1]
    alike = [s.duration_s for s in span.steps[:-1] if s.n_eval == last.n_eval]
    if id(last) in ended or len(alike) < 3:
        return
    usual = median(alike)
    if last.duration_s > UNMARKED_TAIL * usual:
        span.notes.append(
            f"the end of the last step is not marked; taken as {usual * 1e3:.3f} ms, the median of the steps like it, "
            f"instead of {last.duration_s * 1e3:.3f} ms to the next marker"
        )
        last.duration_s = usual


def _gathered(steps: Sequence[Step], labels: Sequence[str | None], contiguous: bool) -> list[Span]:
    """A kind of call that comes back within its generation goes on with its span."""
    spans: list[Span] = []
    of_kind: dict[_Kind, Span] = {}
    before: _Kind | None = None
    for kind, begin, end in _kinds(steps, labels):
        if kind != before:
            known = None if kind.warmup else of_kind.get(kind)
            if known is None:
                of_kind[kind] = Span(kind.label, kind.generation, kind.warmup, [], contiguous)
                spans.append(of_kind[kind])
                if len(spans) > MOST_SPANS:
                    raise AnalysisError(f"more than {MOST_SPANS} phases")
            else:
                known.contiguous = False
        before = kind
        of_kind[kind].steps += steps[begin:end]
    for span in spans:
        _tell_forgotten(span)
    return spans


def _tell_forgotten(span: Span) -> None:
    evaluated, kept = sum(step.n_eval for step in span.steps), sum(step.n_kept for step in span.steps)
    if kept < evaluated:
        span.notes.append(
            f"of {evaluated} tokens evaluated {kept} were kept (positions went back over the others, as over guesses "
            "that were wrong); tokens a second are of those kept"
        )


def _kinds(steps: Sequence[Step], labels: Sequence[str | None]) -> Iterator[tuple[_Kind, int, int]]:
    """Label and generation of the steps from one place up to another, in their order.

    A generation begins where positions do not continue, or where the kind of call with which it began comes back: a
    prompt after decoded tokens. Behind that kind positions may go back into the call before, some of whose tokens are
    then forgotten (`Step.forgotten`). Sequences may take turns: positions that continue those of a generation whose
    last call was not long ago go on with it. Steps without a label are prefill where they begin a generation or
    evaluate several tokens.
    """
    here: _Generation | None = None
    turns = _Turns()
    n_generations = 0
    for begin, end in pairwise(_bounds(steps, labels)):
        given, at = labels[begin], begin
        if given is not None and given.lower() in WARMUP_LABELS:
            yield _Kind(-1, given, True), begin, end
            here, turns = None, _Turns()
            continue
        while at < end:
            step, first = steps[at], at
            if here is None or not _continues(step, here):
                if here is not None:
                    turns.leave(here)
                here = turns.back(step.n_past, at)
            label = given or (PREFILL if here is None or step.n_eval > 1 else DECODE)
            if here is None or label == here.opening != here.label:
                here = _Generation(n_generations, given or PREFILL, label, step, at)
                label = here.opening
                n_generations += 1
            elif step.n_past < here.last.end:
                here.last.forgotten = here.last.end - step.n_past
            if given or label == (PREFILL if step.n_eval > 1 else DECODE):
                at = end - 1  # the others go on with it
            here.label, here.last, here.at = label, steps[at], at
            at += 1
            yield _Kind(here.number, label, False), first, at


def _bounds(steps: Sequence[Step], labels: Sequence[str | None]) -> list[int]:
    """Where a step does not go on with the one before it: other positions, another label or, without one, another
    choice between one token and several. With the first place and the one behind the last.
    """
    ends = [step.n_past + step.n_eval if step.sequences == 1 else step.end for step in steps]
    kinds = [label or ("" if step.n_eval > 1 else None) for label, step in zip(labels, steps, strict=True)]
    following = zip(steps[1:], ends[:-1], kinds[1:], kinds[:-1], strict=True)
    inner = [at for at, (step, end, kind, above) in enumerate(following, 1) if step.n_past != end or kind != above]
    return [0, *inner, len(steps)] if steps else []


@dataclass
class _Generation:
    """opening: the kind of its first call; label, last, at: of its last one, and its place among all."""

    number: int
    opening: str
    label: str
    last: Step
    at: int


class _Turns:
    """Generations that others took turns with, by the positions behind their last tokens."""

    def __init__(self) -> None:
        self._left: dict[int, deque[_Generation]] = {}

    def leave(self, generation: _Generation) -> None:
        """Another one's call follows."""
        self._left.setdefault(generation.last.end, deque()).append(generation)

    def back(self, n_past: int, at: int) -> _Generation | None:
        """The one that goes on from these positions, and is left no longer; None where none does."""
        waiting = self._left.get(n_past)
        while waiting:
            generation = waiting.popleft()
            if at - generation.at <= MOST_BETWEEN:
                return generation
        return None


def _continues(step: Step, generation: _Generation) -> bool:
    last, may_go_back = generation.last, generation.label != generation.opening
    return step.n_past == last.end or (may_go_back and last.n_past < step.n_past < last.end)


def extent(frame: pd.DataFrame) -> tuple[float, float]:
    """First start and last end of the capture's intervals, seconds. Raises AnalysisError if it has none."""
    begin, end = known_extent(frame)
    if not end > begin:
        raise AnalysisError("the capture has no intervals to cut by markers; record it with intervals (perf stat -I)")
    return begin, end


def known_extent(frame: pd.DataFrame) -> tuple[float, float]:
    """The same, with NaN for what the capture does not tell."""
    start, duration = frame["start_s"].to_numpy(), frame["duration_s"].to_numpy()
    return float(np.fmin.reduce(start)), float(np.fmax.reduce(start + duration))
