"""Captures beside a first one: what changed in which phase, operation and event, and whether it is more than noise.

Every quantity is a ratio of sums over steps (seconds a token, refills a token, stalls a cycle). Its change is resampled
over the steps of both captures; it counts as changed where the 95 % interval of the relative change leaves 0 out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from analysis import bootstrap, kinds, metrics, operations, whole_times
from analysis.errors import printable
from analysis.judging import Capture, JudgedPhase
from analysis.metrics import tokens_of
from analysis.phase import METRIC_PREFIX, OK, columns_of
from analysis.table import Table

_Entry = TypeVar("_Entry")
MOST_EVENTS = 100
"""Of a phase that have an interval: no machine counts as many at a time."""
MOST_COMPARED, MOST_WITH_OPERATIONS = 800, 100
"""Phases, without operations and with them; of more the first are compared."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Of captures, in their order."""
HEADER_KEYS = (
    "engine", "engine_version", "engine_library", "model", "kernels", "n_threads", "n_threads_batch", "kv_form", "cpu",
    "midr", "governor", "q4engine_version", "commit", "command",
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One quantity. kind: `speed`, `whole`, `metric`, `operation` or `event`. What one alone has is 0 in the other.

    `whole` are times of runs of which no token is known (`analysis.whole_times`); their events are not by the token.

    Operations are in seconds a token of the phase, waiting among them, so that their differences add up to the speed's.
    interval: of the relative change right/left - 1; None with too few steps.  has_changed: None then.
    """

    phase: str
    kind: str
    name: str
    unit: str
    left: float
    right: float
    interval: bootstrap.Interval | None

    @property
    def relative(self) -> float:
        """right/left - 1, NaN where left is 0."""
        return self.right / self.left - 1 if self.left else math.nan

    @property
    def difference(self) -> float:
        """right - left, in the quantity's own unit."""
        return self.right - self.left

    @property
    def only_in(self) -> str:
        """`A` or `B` where an operation is in that capture alone, else ''."""
        if self.kind != "operation" or (self.left > 0) == (self.right > 0):
            return ""
        return "B" if self.right > 0 else "A"

    @property
    def has_changed(self) -> bool | None:
        if self.interval is None:
            return None
        return self.interval[0] > 0 or self.interval[1] < 0


@dataclass(frozen=True)
class Rate:
    """Of an operation in one capture: bytes and instructions a token, bytes/s while it ran. NaN where not known."""

    bytes: float = math.nan
    bandwidth: float = math.nan
    instructions: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """changes: every quantity of the phases that both captures have.  verdicts: (phase, left, right).

    settings: header keys that differ, (key, left, right).  unmatched: phases that only one capture has.
    alone: (phase, its letter, what only that capture counted or timed).
    together: (phase, what one does at once and others apart): such operations have one name in all.
    rates: of operations, (phase, name, left, right).
    letter: of the capture that is compared with A.  left_out: phases that both have and that are not compared.
    """

    changes: list[Change]
    verdicts: list[tuple[str, str, str]]
    settings: list[tuple[str, str, str]]
    unmatched: list[str]
    alone: list[tuple[str, str, str]]
    together: list[tuple[str, str]] = field(default_factory=list)
    rates: list[tuple[str, str, Rate, Rate]] = field(default_factory=list)
    letter: str = "B"
    left_out: int = 0

    def of(self, phase: str, kind: str) -> list[Change]:
        """The changes of this kind in a phase."""
        return [change for change in self.of_phase(phase) if change.kind == kind]

    def of_phase(self, phase: str) -> list[Change]:
        """Every change in a phase."""
        return self._changes.get(phase, [])

    def verdicts_of(self, phase: str) -> list[tuple[str, str]]:
        """Of `verdicts` those of a phase: (left, right)."""
        return self._verdicts.get(phase, [])

    def alone_in(self, phase: str) -> list[tuple[str, str]]:
        """Of `alone` what is of a phase: (letter, what)."""
        return self._alone.get(phase, [])

    def together_in(self, phase: str) -> list[str]:
        """The same of `together`."""
        return self._together.get(phase, [])

    def rates_in(self, phase: str) -> list[tuple[str, Rate, Rate]]:
        """The same of `rates`."""
        return self._rates.get(phase, [])

    # Reports ask when there are all, and of one phase after the other: there may be thousands.

    @cached_property
    def _changes(self) -> dict[str, list[Change]]:
        return _by_phase((change.phase, change) for change in self.changes)

    @cached_property
    def _verdicts(self) -> dict[str, list[tuple[str, str]]]:
        return _by_phase((phase, (left, right)) for phase, left, right in self.verdicts)

    @cached_property
    def _alone(self) -> dict[str, list[tuple[str, str]]]:
        return _by_phase((phase, (side, what)) for phase, side, what in self.alone)

    @cached_property
    def _together(self) -> dict[str, list[str]]:
        return _by_phase(self.together)

    @cached_property
    def _rates(self) -> dict[str, list[tuple[str, Rate, Rate]]]:
        return _by_phase((phase, (name, one, other)) for phase, name, one, other in self.rates)

    def explained(self, phase: str) -> float:
        """Share of the difference in time a token that named operations and waiting make; NaN where there is none."""
        parts = [change.difference for change in self.of(phase, "operation") if change.name != REST]
        whole = sum(change.difference for change in self.of(phase, "speed"))
        return sum(parts) / whole if parts and whole else math.nan


def _by_phase(entries: Iterable[tuple[str, _Entry]]) -> dict[str, list[_Entry]]:
    found: dict[str, list[_Entry]] = {}
    for phase, entry in entries:
        found.setdefault(phase, []).append(entry)
    return found


def compare(left: Capture, right: Capture, by_tensor: bool | None = None) -> Comparison:
    """The second against the first, as `with_first` does it."""
    (found,) = with_first([left, right], by_tensor)
    return found


def with_first(captures: Sequence[Capture], by_tensor: bool | None = None) -> list[Comparison]:
    """Every capture but the first against the first. Operations have the same names in all of them.

    Phases are matched by their titles, and in order where no title matches.

    by_tensor: products by their tensors, and what one does at once or on the way of another operation as one kind
    (`analysis.kinds`); without it where the captures are of different engines.
    """
    first, *others = captures
    if by_tensor is None:
        by_tensor = any(other.header.get("engine") != first.header.get("engine") for other in others)
    every = first.judged()
    matched = [_pairs(every, other.judged()) for other in others]
    most = MOST_WITH_OPERATIONS if any(map(_has_parts, captures)) else MOST_COMPARED
    phases, behind = every[:most], set(map(id, every[most:]))
    tables = [capture.table for capture in captures]
    found = [
        Comparison(
            [],
            [],
            _settings(first, other),
            unmatched,
            [],
            letter=letter,
            left_out=sum(id(one) in behind for one, _ in pairs),
        )
        for letter, other, (pairs, unmatched) in zip(LETTERS[1:], others, matched, strict=False)
    ]
    partner_of = [{id(one): other for one, other in pairs} for pairs, _ in matched]
    for phase in phases:
        partners = [of_other.get(id(phase)) for of_other in partner_of]
        sides, together = _named([phase, *partners], tables, by_tensor)
        for number, (result, other) in enumerate(zip(found, partners, strict=True), 1):
            if other is not None:
                _add(result, (phase, first.table, sides[0]), (other, tables[number], sides[number]), together)
    return found


def _add(
    result: Comparison,
    left: tuple[JudgedPhase, Table, _Side | None],
    right: tuple[JudgedPhase, Table, _Side | None],
    together: Sequence[str],
) -> None:
    """What a phase, its table and its operations' rows tell beside those of the first capture."""
    (one, left_table, side), (other, right_table, other_side) = left, right
    title = one.title if one.title == other.title else f"{one.title} / {other.title}"
    result.verdicts.append((title, str(one.judgement.combined.outcome), str(other.judgement.combined.outcome)))
    result.changes.extend(_of_phases(title, one, other))
    result.changes.extend(_whole_times(title, one, left_table, other, right_table))
    if side is not None and other_side is not None:
        result.changes.extend(_of_operations(title, side, other_side))
        result.together.extend((title, text) for text in together)
        rates = _rates(side, other_side).items()
        result.rates.extend((title, printable(name, 40), *pair) for name, pair in rates)
    result.alone.extend(_alone(title, result.letter, one, left_table, other, right_table))


def _pairs(
    left: list[JudgedPhase], right: list[JudgedPhase]
) -> tuple[list[tuple[JudgedPhase, JudgedPhase]], list[str]]:
    by_title = {phase.title: phase for phase in right}
    pairs = [(phase, by_title[phase.title]) for phase in left if phase.title in by_title]
    if not pairs:
        return list(zip(left, right, strict=False)), [phase.title for phase in left[len(right) :] + right[len(left) :]]
    matched = {one.title for one, _ in pairs}
    return pairs, [phase.title for phase in left + right if phase.title not in matched]


def _of_phases(title: str, left: JudgedPhase, right: JudgedPhase) -> Iterator[Change]:
    if left.context.emulated or right.context.emulated:  # an emulator's clock compares with nothing
        yield from _events(title, left, right)
        return
    speed = [_per_token([(s.duration_s, s.n_kept) for s in phase.evidence.steps]) for phase in (left, right)]
    found = [_Rows("speed", "time per token", "s", speed[0], speed[1])]
    for key, spec in metrics.BY_KEY.items():
        ratios = left.metrics[key], right.metrics[key]
        if ratios[0].known and ratios[1].known and ratios[0].events == ratios[1].events and len(ratios[0].events) == 2:
            rows = [_rows(phase, ratios[0].events) for phase in (left, right)]
            values = ratios[0].number(), ratios[1].number()
            found.append(_Rows("metric", spec.label, spec.unit, rows[0], rows[1], values))
    yield from _changes(title, found)
    yield from _events(title, left, right)


def _whole_times(
    title: str, left: JudgedPhase, left_table: Table, right: JudgedPhase, right_table: Table
) -> Iterator[Change]:
    phases = left.evidence.subject, right.evidence.subject
    if left.context.emulated or right.context.emulated or any(map(tokens_of, phases)):
        return
    for one in whole_times.of_phases(left.phase, left_table, right.phase, right_table):
        yield Change(title, "whole", one.name, "s", one.left, one.right, one.interval)


def _events(title: str, left: JudgedPhase, right: JudgedPhase) -> Iterator[Change]:
    subjects = left.evidence.subject, right.evidence.subject
    found: list[_Rows] = []
    for event in subjects[0].counts:
        counts = [subject.counts.get(event) for subject in subjects]
        if event.startswith(METRIC_PREFIX) or any(count is None or count.status != OK for count in counts):
            continue
        rows = [_event_rows(phase, event) for phase in (left, right)]
        tokens = [tokens_of(subject) for subject in subjects]
        if all(tokens) or not any(tokens):
            values = [count.value / (n or 1) for count, n in zip(counts, tokens, strict=True) if count]
            unit = "per token" if all(tokens) else "in all"
            if len(found) >= MOST_EVENTS:
                rows = [rows_of_side[:0] for rows_of_side in rows]
            found.append(_Rows("event", event, unit, rows[0], rows[1], (values[0], values[1])))
    yield from _changes(title, found)


def _event_rows(phase: JudgedPhase, event: str) -> np.ndarray:
    steps = phase.evidence.steps
    if found := columns_of(steps):
        values, known = found[0].together(found[1], [event])
        rows: np.ndarray = np.column_stack((values, [float(tokens_of(step)) for step in steps]))[known]
        return rows
    pairs = []
    for step in steps:
        count = step.counts.get(event)
        if count is not None and count.status == OK:
            pairs.append((count.value, tokens_of(step)))
    return _per_token(pairs)


def _rows(phase: JudgedPhase, events: tuple[str, ...]) -> np.ndarray:
    return bootstrap.rows_of(phase.evidence.steps, events)[:, :2]


def _per_token(pairs: list[tuple[float, int]]) -> np.ndarray:
    return np.array(pairs, dtype=np.float64).reshape(len(pairs), 2)


REST = "outside of operations"


@dataclass(frozen=True)
class _Side:
    """Rows of operations of a phase in one capture, with a name for each row."""

    phase: JudgedPhase
    rows: pd.DataFrame
    names: pd.Series


def _named(
    phases: Sequence[JudgedPhase | None], tables: Sequence[Table], by_tensor: bool
) -> tuple[list[_Side | None], list[str]]:
    """A phase's operations in each capture that has some; of an emulator, whose clock compares with nothing, none.

    With them what has one name in all that is done at once in some, in words.
    """
    known: dict[str, tuple[JudgedPhase, pd.DataFrame]] = {}
    for letter, phase, table in zip(LETTERS, phases, tables, strict=False):
        rows = None
        if phase is not None and not phase.context.emulated:
            rows = operations.timed_rows(table, _tokens(phase))
        if phase is not None and rows is not None:
            known[letter] = phase, rows
    names = {letter: rows["op"] for letter, (_, rows) in known.items()}
    together: list[str] = []
    if by_tensor and len(known) > 1:
        shared = kinds.shared({letter: rows for letter, (_, rows) in known.items()})
        names, together = shared.names, shared.together
    sides = {letter: _Side(phase, rows, names[letter]) for letter, (phase, rows) in known.items()}
    return [sides.get(letter) for letter in LETTERS[: len(phases)]], together


def _rates(left: _Side, right: _Side) -> dict[str, tuple[Rate, Rate]]:
    """Of each operation that either has, in the order of their time."""
    found: list[dict[str, Rate]] = []
    for side in (left, right):
        tokens = max(1, sum(_tokens(side.phase).values()))
        found.append({one.name: _rate(one, tokens) for one in operations.gathered(side.rows, side.names)})
    both = {name: (found[0].get(name, Rate()), found[1].get(name, Rate())) for name in {**found[0], **found[1]}}
    return {name: pair for name, pair in both.items() if any(math.isfinite(x) for r in pair for x in astuple(r))}


def _rate(one: operations.Operation, tokens: int) -> Rate:
    read, _ = one.bytes_read
    counted = next((one.counts[event] for event in ("INST_RETIRED", "INST_SPEC") if event in one.counts), math.nan)
    return Rate(read / tokens, read / one.elapsed if one.elapsed > 0 else math.nan, counted / tokens)


def _of_operations(title: str, left: _Side, right: _Side) -> Iterator[Change]:
    """Seconds a token of every operation that either has, and what is left of the calls."""
    found = [_rows_by_call(side.phase, side.rows, side.names) for side in (left, right)]
    for side, rows in zip((left, right), found, strict=True):
        rows[REST] = _rest(side.phase, rows)
    quantities = []
    for name in {**found[0], **found[1]}:
        both = [rows.get(name, _nothing(side.phase)) for side, rows in zip((left, right), found, strict=True)]
        least = 1e-9 if name == REST else 0.0
        if any(np.abs(each[:, 0]).sum() > least for each in both):
            quantities.append(_Rows("operation", printable(name, 40), "s per token", both[0], both[1]))
    yield from _changes(title, quantities)


def operation_rows(phase: JudgedPhase, table: Table) -> dict[str, np.ndarray]:
    """Operation -> [calls, 2]: mean seconds of a thread (0 in a call without it), and tokens, for each call."""
    rows = operations.timed_rows(table, _tokens(phase))
    return {} if rows is None else _rows_by_call(phase, rows, rows["op"])


def _rows_by_call(phase: JudgedPhase, rows: pd.DataFrame, names: pd.Series) -> dict[str, np.ndarray]:
    tokens = _tokens(phase)
    found = {name: dict(pairs) for name, pairs in operations.seconds_by_name(rows, names).items()}
    return {
        name: _per_token([(seconds.get(call, 0.0), n) for call, n in tokens.items()]) for name, seconds in found.items()
    }


def _tokens(phase: JudgedPhase) -> dict[int, int]:
    return {step.call: step.n_eval for step in phase.evidence.steps if step.call is not None}


def _nothing(phase: JudgedPhase) -> np.ndarray:
    return _per_token([(0.0, n) for n in _tokens(phase).values()])


def _rest(phase: JudgedPhase, rows: dict[str, np.ndarray]) -> np.ndarray:
    """What the calls took beyond their operations."""
    lengths = _per_token([(step.duration_s, step.n_eval) for step in phase.evidence.steps if step.call is not None])
    for of_operation in rows.values():
        lengths[:, 0] -= of_operation[:, 0]
    return lengths


def _alone(
    title: str, letter: str, left: JudgedPhase, left_table: Table, right: JudgedPhase, right_table: Table
) -> Iterator[tuple[str, str, str]]:
    """Events and operations of one capture alone."""
    sides = (("A", left, left_table, right, right_table), (letter, right, right_table, left, left_table))
    for side, mine, table, other, other_table in sides:
        elsewhere = set(_counted(other))
        for event in [event for event in _counted(mine) if event not in elsewhere]:
            yield title, side, f"event {printable(event)}"
        if _has_operations(mine, table) and not _has_operations(other, other_table):
            yield title, side, "times by operation (--per-op)"


def _has_parts(capture: Capture) -> bool:
    return capture.table.calls is not None and not capture.table.calls.parts.empty


def _has_operations(phase: JudgedPhase, table: Table) -> bool:
    return operations.timed_rows(table, _tokens(phase)) is not None


def _counted(phase: JudgedPhase) -> list[str]:
    counts = phase.evidence.subject.counts
    return [event for event, count in counts.items() if count.status == OK and not event.startswith(METRIC_PREFIX)]


class _Rows(NamedTuple):
    """A quantity of both sides, of each the rows of column 0 / column 1; `values` where the phases know them better
    than their steps do."""

    kind: str
    name: str
    unit: str
    left: np.ndarray
    right: np.ndarray
    values: tuple[float, float] | None = None

    def ratios(self) -> tuple[float, float] | None:
        """Of both sides, None where one has none."""
        if self.values is not None:
            return self.values
        sums = [(float(side[:, 0].sum()), float(side[:, 1].sum())) for side in (self.left, self.right)]
        return (sums[0][0] / sums[0][1], sums[1][0] / sums[1][1]) if sums[0][1] and sums[1][1] else None


def _changes(title: str, quantities: Sequence[_Rows]) -> Iterator[Change]:
    """The change of each that both sides have."""
    known = [(one, found) for one in quantities if (found := one.ratios()) and all(map(math.isfinite, found))]
    drawn = bootstrap.resample_ratios([one.left for one, _ in known])
    others = bootstrap.resample_ratios([one.right for one, _ in known], seed=bootstrap.SEED + 1)
    for (one, values), left, right in zip(known, drawn, others, strict=True):
        interval = None
        if left is not None and right is not None and (left != 0).all():
            interval = bootstrap.ends(right / left - 1)
        yield Change(title, one.kind, one.name, one.unit, *values, interval)


def _settings(left: Capture, right: Capture) -> list[tuple[str, str, str]]:
    pairs = [(key, left.header.get(key), right.header.get(key)) for key in HEADER_KEYS]
    found = [(key, _shown(one), _shown(other)) for key, one, other in pairs if one != other]
    if left.is_emulated != right.is_emulated:
        found.insert(0, ("emulated", str(left.is_emulated), str(right.is_emulated)))
    return found


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else printable(str(value))
