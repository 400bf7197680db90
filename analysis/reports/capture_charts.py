"""The charts of a capture: where each phase's cycles and its time went, and its steps over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis import operations, palette
from analysis.breakdown import step_seconds
from analysis.calls import WAITING
from analysis.errors import printable
from analysis.judging import Capture, JudgedPhase
from analysis.metrics import metric
from analysis.phase import Step
from analysis.reports.charts import Axis, Bands, Bar, Bars, Kind, Part, Plot, Series, fewer, grouped
from analysis.verdicts import Context

# Parts of a cycle count, in the order in which they are stacked: each has the hue of what it makes a phase.
CYCLES = (
    ("memory stalls", palette.CAUSES["memory"]),
    ("other back-end stalls", palette.CAUSES["core"]),
    ("front-end stalls", palette.CAUSES["front end"]),
    ("rest: not stalled, or not counted", palette.FAINT),
)
MIX = (
    ("Advanced SIMD", "ase"),
    ("scalar FP", "vfp"),
    ("integer", "dp"),
    ("loads", "loads"),
    ("stores", "stores"),
    ("branches", "branches"),
)
_MOST_PHASES, MOST_DRAWN = 24, 200
"""Of phases that have a bar each, and that have a place in a chart of many."""
_MOST_OPERATIONS = 6
_MOST_SPANS, _MOST_STACKS = 600, 200
_MOST_OF_A_BAND = 16
"""Steps that a band of many is the mean of, evenly spread."""
_FAR_APART = 4.0
"""Steps whose lengths differ by this factor are drawn over a logarithmic axis."""


@dataclass(frozen=True)
class Stack:
    """What is stacked: parts as (name, hue), the share of each in percent, and of what they are shares."""

    of: str
    title: str
    parts: tuple[tuple[str, str], ...]
    shares: Callable[[Step | JudgedPhase, JudgedPhase], list[float] | None]


def stacks_of(capture: Capture) -> list[Stack]:
    """Cycles where stalls were counted, else instruction classes; time by operation where it was taken."""
    phases = capture.judged()
    found = []
    if any(shares_of(phase, phase.context) for phase in phases):
        found.append(
            Stack("cycles", "Where the cycles went", CYCLES, lambda subject, phase: shares_of(subject, phase.context))
        )
    elif any(phase.metrics[key].known for phase in phases for _, key in MIX):
        parts = tuple((name, palette.INSTRUCTIONS[key]) for name, key in MIX)
        found.append(Stack("instructions", "What the instructions were", parts, _mix))
    by_operation = None if capture.is_emulated else _operations(capture)
    return [*found, by_operation] if by_operation else found


def where(capture: Capture) -> list[Bars]:
    """A bar for each phase: what its cycles, instructions and time went to, the verdict beside it."""
    phases = capture.judged()[:_MOST_PHASES]
    nothing = Stack("cycles", "Where the cycles went", (), lambda subject, phase: None)
    found = []
    for stack in stacks_of(capture) or [nothing]:
        shares = [stack.shares(phase, phase) or [] for phase in phases]
        used = [any(row[column : column + 1] > [0.0] for row in shares) for column in range(len(stack.parts))]
        bars = tuple(_bar(phase, stack, row, used) for phase, row in zip(phases, shares, strict=True))
        title = _title(capture, stack.title)
        found.append(Bars(title, f"share of {stack.of} (%)", bars, most=100.0, mark=" %"))
    return found


def lengths(capture: Capture) -> Plot:
    """How long every step took, when; of phases of single tokens the median and the 95th percentile."""
    phases = _with_steps(capture)
    title = _title(capture, "How long each step took")
    x, label = Axis("time since the first step (s)", low=0.0), "step length (ms)"
    if capture.is_emulated or not phases:
        why = "an emulator's clock tells no lengths" if capture.is_emulated else "no steps in this capture"
        return Plot(title, x, Axis(label), empty=why)
    begin = _begin(phases)
    size = fewer(sum(len(phase.phase.steps) for phase in phases), _MOST_SPANS)
    series: list[Series] = []
    for number, phase in enumerate(phases):
        hue = palette.phase(phase.phase.label, number)
        series += _percentiles(phase, begin, hue)
        series.append(_spans(phase, begin, hue, size))
    values = [point[1] for one in series for point in one.points]
    spread = max(values) > _FAR_APART * min(values) > 0
    ends = max(point[0] for one in series for point in one.points)
    remarks = [f"a mark is the longest of {size} neighbours"] if size > 1 else []
    remark = "; ".join(remarks + left_out(capture))
    y = Axis(label, log=spread, low=None if spread else 0.0)
    return Plot(title, Axis(x.label, low=0.0, high=ends), y, tuple(series), remark=remark)


def shares(capture: Capture) -> Plot:
    """What each step's cycles, instructions or time went to, over time."""
    phases, stacks = _with_steps(capture), stacks_of(capture)
    title = _title(capture, stacks[0].title + ", step by step" if stacks else "Where the cycles went, step by step")
    label = "steps, one after the other" if capture.is_emulated else "time since the first step (s)"
    of = stacks[0].of if stacks else "cycles"
    y = Axis(f"share of {of} (%)", low=0.0, high=100.0, ticks=(0.0, 25.0, 50.0, 75.0, 100.0))
    if not stacks or not phases:
        why = "no stalls and no instruction classes were counted, no operations timed"
        return Plot(title, Axis(label), y, empty=why if phases else "no steps in this capture")
    begin = _begin(phases)
    size = fewer(sum(len(phase.phase.steps) for phase in phases), _MOST_STACKS)
    bands = tuple(_bands(phase, stacks[0], begin, size) for phase in phases)
    end = max(span[1] for band in bands for span in band.spans)
    ticks = (-1.0,) if capture.is_emulated else ()  # an emulator's seconds are no numbers to show
    remark = "; ".join(left_out(capture))
    return Plot(title, Axis(label, low=0.0, high=end, ticks=ticks), y, bands=bands, remark=remark)


def shares_of(subject: Step | JudgedPhase, context: Context) -> list[float] | None:
    """The four parts of CYCLES in percent of cycles, None where back-end stalls were not counted."""
    target = subject.evidence.subject if isinstance(subject, JudgedPhase) else subject.passing()
    backend = metric(target, "be", context.core).number()
    if not 0 <= backend <= 1.05:
        return None
    memory, front = (metric(target, key, context.core).number() for key in ("mc", "fe"))
    memory = min(memory, backend) if math.isfinite(memory) else 0.0
    front = front if math.isfinite(front) else 0.0
    rest = max(0.0, 1.0 - backend - front)
    return [100 * memory, 100 * (backend - memory), 100 * front, 100 * rest]


def _mix(subject: Step | JudgedPhase, phase: JudgedPhase) -> list[float]:
    target = subject.evidence.subject if isinstance(subject, JudgedPhase) else subject.passing()
    return [100 * metric(target, key, phase.context.core).number() for _, key in MIX]


def _operations(capture: Capture) -> Stack | None:
    """Time by operation: the largest ones, the others, and waiting."""
    calls = [step.call for phase in capture.judged() for step in phase.phase.steps if step.call is not None]
    timed = {name: dict(rows) for name, rows in operations.seconds_by_call(capture.table, calls).items()}
    if not timed:
        return None
    largest = sorted((name for name in timed if name not in WAITING), key=lambda name: -sum(timed[name].values()))
    leading = [name for name in largest if name in palette.OPERATIONS][:_MOST_OPERATIONS]
    rest = [name for name in largest if name not in leading]
    columns = [[name] for name in leading] + [rest, [name for name in timed if name in WAITING]]
    names = [*leading, "other operations", "waiting"]
    hues = [palette.operation(name) for name in names]

    def shares(subject: Step | JudgedPhase, phase: JudgedPhase) -> list[float] | None:
        steps = subject.phase.steps if isinstance(subject, JudgedPhase) else [subject]
        total = sum(step.duration_s for step in steps)
        numbers = [step.call for step in steps if step.call is not None]
        sums = [sum(timed[name].get(call, 0.0) for name in column for call in numbers) for column in columns]
        return [100 * value / total for value in sums] if total > 0 else None

    return Stack("time", "Where the time went", tuple(zip(names, hues, strict=True)), shares)


def _bar(phase: JudgedPhase, stack: Stack, shares: Sequence[float], used: Sequence[bool]) -> Bar:
    """used: of each part, whether some phase has it: the legend has those, in one order."""
    speed = phase.tokens_per_second
    words = [f"{speed:.1f} tokens/s"] if math.isfinite(speed) else []
    combined = phase.judgement.combined
    words += [str(combined.outcome)] if combined.is_finding else []
    if stack.parts == CYCLES and not phase.metrics["mc"].known:
        words.append("memory stalls not measured")
    values = [0.0 if math.isnan(value) else value for value in shares]
    parts = tuple(
        Part(name, value, hue, f"{phase.title}, {name}: {value:.1f} % of the {stack.of}")
        for value, (name, hue), is_used in zip(values, stack.parts, used, strict=False)
        if is_used
    )
    return Bar(printable(phase.title, 60), parts, ", ".join(words), "" if parts else "stalls not measured")


def left_out(capture: Capture) -> list[str]:
    """A remark on the phases that have no place in a chart, if there are any."""
    n = len(capture.judged())
    return [f"the first {MOST_DRAWN} of {n} phases"] if n > MOST_DRAWN else []


def _with_steps(capture: Capture) -> list[JudgedPhase]:
    """Those that are drawn."""
    drawn = capture.judged()[:MOST_DRAWN]
    return [phase for phase in drawn if any(step.duration_s > 0 for step in phase.phase.steps)]


def _begin(phases: Sequence[JudgedPhase]) -> float:
    return min(step.start_s for phase in phases for step in phase.phase.steps)


def _spans(phase: JudgedPhase, begin: float, hue: str, size: int) -> Series:
    points, tips = [], []
    for group in _groups(phase, size):
        step, last = max(group, key=lambda step: step.duration_s), group[-1]
        level = 1e3 * step.duration_s
        points += [(group[0].start_s - begin, level), (last.start_s + last.duration_s - begin, level)]
        tips.append(f"{phase.title}, past {step.n_past}: {level:.3f} ms, {phase.of_step(step).combined.outcome}")
    return Series(phase.title, hue, tuple(points), Kind.SPANS, tuple(tips))


def _percentiles(phase: JudgedPhase, begin: float, hue: str) -> Iterator[Series]:
    found = step_seconds(phase)
    if not found:
        return
    steps = phase.phase.steps
    ends = steps[0].start_s - begin, steps[-1].start_s + steps[-1].duration_s - begin
    for name, seconds in (("p95", found[2]), ("median", found[1])):
        points = tuple((end, 1e3 * seconds) for end in ends)
        is_p95 = name == "p95"
        labels = ("", f"{name} {1e3 * seconds:.3g} ms")
        yield Series("", hue, points, Kind.RULE, labels=labels, dashed=is_p95, below=not is_p95)


def _bands(phase: JudgedPhase, stack: Stack, begin: float, size: int) -> Bands:
    spans, tips = [], []
    values: list[tuple[float, ...]] = []
    for group in _groups(phase, size):
        first, last = group[0], group[-1]
        asked = group[:: fewer(len(group), _MOST_OF_A_BAND)]
        weights = np.array([step.duration_s for step in asked])
        rows = [stack.shares(step, phase) or [math.nan] * len(stack.parts) for step in asked]
        mean = weights @ np.nan_to_num(np.array(rows, dtype=np.float64)) / weights.sum()
        spans.append((first.start_s - begin, last.start_s + last.duration_s - begin))
        values.append(tuple(map(float, mean)))
        shown = ", ".join(
            f"{name} {value:.1f} %" for (name, _), value in zip(stack.parts, mean, strict=True) if value >= 0.05
        )
        past = f"past {first.n_past}" + (f" to {last.n_past}" if last is not first else "")
        tips.append(f"{phase.title}, {past}: {shown or 'not measured'}")
    return Bands(stack.parts, tuple(spans), tuple(values), tuple(tips))


def _groups(phase: JudgedPhase, size: int) -> Iterator[Sequence[Step]]:
    """Runs of neighbouring steps that took time."""
    return grouped([step for step in phase.phase.steps if step.duration_s > 0], size)


def _title(capture: Capture, what: str) -> str:
    return f"{what} (EMULATED)" if capture.is_emulated else what
