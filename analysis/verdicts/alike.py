"""The verdicts on very many steps: those that the rules treat alike are judged once.

The rules are given one step, whose numbers know the same numbers of other steps (`Quantity`). Each comparison that a
rule makes parts the steps whose answer is another one, and so does each result that is no finite number. What are left
have come the same way through the rules, to the same outcome and confidence, and their ratios were computed along: so
the rules are written once, for one step and for many.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import numpy as np

from analysis.phase import Count, GroupedCounts, Phase, Step, best_of_groups, columns_of
from analysis.step_columns import Column, Columns
from analysis.verdicts.evidence import Context
from analysis.verdicts.verdict import Confidence, Judgement, Outcome

Judge = Callable[[Step, Phase, Context], Judgement]
RATIOS = ("be", "fe", "m", "mc")
_AT_ONCE = 8192
_FEW = 16
"""Steps that have to be alike: to judge fewer one by one is quicker."""


class StepVerdict(NamedTuple):
    """A step's verdict in short. ratios: those of RATIOS that the stall rule has, NaN where one is not known."""

    outcome: Outcome
    confidence: Confidence
    ratios: dict[str, float]


class NotToldApart(TypeError):
    """A rule makes of a number another one by which the steps are not told apart."""


class _Steps:
    """Which of several steps are alike so far."""

    def __init__(self, n: int) -> None:
        self.alike = np.ones(n, dtype=bool)

    def keep(self, same: Any) -> None:
        self.alike &= same


class Quantity(float):
    """A number of the first of several steps, with the same of all: as any float, but that comparisons part the steps.

    each: of every step.  What would lose the others without parting them (`float(x)`, `round(x)`) is refused; a text
    made of it tells of the first alone.
    """

    each: np.ndarray
    steps: _Steps

    def __new__(cls, each: np.ndarray, steps: _Steps) -> Quantity:
        self = super().__new__(cls, each.item(0))
        self.each, self.steps = each, steps
        steps.keep(np.isfinite(each) == math.isfinite(self))
        return self

    def __hash__(self) -> int:
        return float.__hash__(self)

    def __bool__(self) -> bool:
        return self != 0.0

    def __neg__(self) -> Quantity:
        return Quantity(-self.each, self.steps)

    def __abs__(self) -> Quantity:
        return Quantity(np.abs(self.each), self.steps)

    def _refuse(self, *_: object) -> NoReturn:
        raise NotToldApart("the steps would not be told apart by this number")


def _computing(operation: Callable[[Any, Any], Any], reflected: bool) -> Callable[[Quantity, object], object]:
    def method(self: Quantity, other: object) -> object:
        if not isinstance(other, int | float):
            return NotImplemented
        mine, others = self.each, other.each if isinstance(other, Quantity) else other
        left, right = (others, mine) if reflected else (mine, others)
        if operation is operator.truediv:
            _part_at_zero(right, self.steps)
        with np.errstate(all="ignore"):
            return Quantity(operation(left, right), self.steps)

    return method


def _part_at_zero(divisor: Any, steps: _Steps) -> None:
    """Of a division by zero there is no result."""
    zero = np.asarray(divisor) == 0
    if zero.flat[0]:
        raise ZeroDivisionError("float division by zero")
    steps.keep(~zero)


def _comparing(operation: Callable[[Any, Any], Any]) -> Callable[[Quantity, object], object]:
    def method(self: Quantity, other: object) -> object:
        if not isinstance(other, int | float):
            return NotImplemented
        answers = operation(self.each, other.each if isinstance(other, Quantity) else other)
        answer = bool(answers[0])
        self.steps.keep(answers == answer)
        return answer

    return method


for _name in ("add", "sub", "mul", "truediv"):
    setattr(Quantity, f"__{_name}__", _computing(getattr(operator, _name), reflected=False))
    setattr(Quantity, f"__r{_name}__", _computing(getattr(operator, _name), reflected=True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Quantity, f"__{_name}__", _comparing(getattr(operator, _name)))
for _name in ("float", "int", "trunc", "round", "floor", "ceil", "pow", "rpow", "mod", "rmod", "floordiv", "rfloordiv"):
    setattr(Quantity, f"__{_name}__", Quantity._refuse)


def every_step(phase: Phase, context: Context, judge: Judge) -> Iterator[tuple[Step, StepVerdict]]:
    """Every step of the phase with its own verdict, as `judge` gives it for each; nothing of a step is kept."""
    for begin in range(0, len(phase.steps), _AT_ONCE):
        steps = phase.steps[begin : begin + _AT_ONCE]
        found: dict[int, StepVerdict] = {}
        known = columns_of(steps)
        if known and isinstance(known[0], Columns) and len(steps) >= _FEW:
            found = _judged_together(steps, known[0], phase, context, judge)
        for at, step in enumerate(steps):
            yield step, found.get(at) or in_short(judge(step.passing(), phase, context))


def in_short(judgement: Judgement) -> StepVerdict:
    """Of one step that was judged alone."""
    combined, ratios = judgement.combined, judgement.stalls.ratios
    return StepVerdict(
        combined.outcome, combined.confidence, {key: ratios[key].number() for key in RATIOS if key in ratios}
    )


def _judged_together(
    steps: Sequence[Step], columns: Columns, phase: Phase, context: Context, judge: Judge
) -> dict[int, StepVerdict]:
    """By place, those steps that are alike with many others, as far as the rules can be followed."""
    found: dict[int, StepVerdict] = {}
    kinds: dict[tuple[object, ...], list[int]] = {}
    for at, step in enumerate(steps):
        kind = (step.n_eval, step.forgotten, step.sequences, step.call is None)
        kinds.setdefault(kind, []).append(at)
    for of_kind in kinds.values():
        left = np.array(of_kind)
        while len(left) >= _FEW:
            try:
                alike, verdicts = _alike_first([steps[at] for at in left.tolist()], columns, phase, context, judge)
            except NotToldApart:
                break
            found |= zip(left[alike].tolist(), verdicts, strict=True)
            if len(verdicts) < _FEW:
                break
            left = left[~alike]
    return found


def _alike_first(
    steps: Sequence[Step], columns: Columns, phase: Phase, context: Context, judge: Judge
) -> tuple[np.ndarray, list[StepVerdict]]:
    """Which steps are as the first, and the verdict of each of them."""
    together = _Steps(len(steps))
    judgement = judge(_with_others(steps, columns, together), phase, context)
    combined = judgement.combined
    ratios = {}
    for key in RATIOS:
        if key in judgement.stalls.ratios:
            value = judgement.stalls.ratios[key].number()
            each = value.each if isinstance(value, Quantity) else np.full(len(steps), value)
            ratios[key] = each[together.alike].tolist()
    n = int(together.alike.sum())
    verdicts = [
        StepVerdict(combined.outcome, combined.confidence, {key: values[at] for key, values in ratios.items()})
        for at in range(n)
    ]
    return together.alike, verdicts


def _with_others(steps: Sequence[Step], columns: Columns, together: _Steps) -> Step:
    """The first step, its numbers with those of the others."""

    def quantity(values: Sequence[float]) -> Any:
        return Quantity(np.array(values, dtype=np.float64), together)

    first, places = steps[0], np.array([step.at for step in steps])
    groups: GroupedCounts = {
        group: {event: _count(column, places, group, together) for event, column in of_group.items()}
        for group, of_group in columns.groups.items()
    }
    return Step(
        n_past=quantity([step.n_past for step in steps]),
        n_eval=first.n_eval,
        start_s=quantity([step.start_s for step in steps]),
        duration_s=quantity([step.duration_s for step in steps]),
        counts=best_of_groups(groups),
        groups=groups,
        call=first.call,
        forgotten=first.forgotten,
        sequences=first.sequences,
    )


def _count(column: Column, places: np.ndarray, group: str, together: _Steps) -> Count:
    """The first step's count with those of the others that were counted as it was."""
    counted = column.counted[places]
    together.keep(counted == counted[0])
    alone = column.count(places[0].item(), group)
    found = replace(alone, running=Quantity(column.running[places], together))
    if counted[0]:
        found = replace(found, measured=Quantity(column.measured[places], together))
    if not math.isnan(alone.value):
        found = replace(found, value=Quantity(column.value[places], together))
    return found
