"""The two pictures of a capture: where each phase's cycles went, and its tokens over time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis import operations
from analysis.calls import WAITING
from analysis.judging import Capture, JudgedPhase
from analysis.metrics import metric
from analysis.phase import Step
from analysis.reports import figure as draw
from analysis.verdicts import Context

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Parts of a cycle count, in the order in which they are stacked.
CYCLES = (
    ("memory stalls", draw.VERMILLION),
    ("other back-end stalls", draw.ORANGE),
    ("front-end stalls", draw.SKY),
    ("rest: not stalled, or not counted", draw.LIGHT),
)
MIX = (
    ("Advanced SIMD", "ase", draw.BLUE),
    ("scalar FP", "vfp", draw.PURPLE),
    ("integer", "dp", draw.GREEN),
    ("loads", "loads", draw.ORANGE),
    ("stores", "stores", draw.YELLOW),
    ("branches", "branches", draw.BLACK),
)
# Waiting is always grey; the largest operations have these.
_OPERATION_COLOURS = (draw.BLUE, draw.ORANGE, draw.GREEN, draw.VERMILLION, draw.PURPLE, draw.SKY)
_MOST_PHASES = 24


@dataclass(frozen=True)
class Stack:
    """What a picture stacks: parts as (name, colour), the share of each in percent, and of what they are shares."""

    of: str
    title: str
    parts: tuple[tuple[str, str], ...]
    shares: Callable[[Step | JudgedPhase, JudgedPhase], list[float] | None]


def stack_of(capture: Capture) -> Stack | None:
    """Cycles where stalls were counted, else instruction classes, else time by operation; None without any of them."""
    phases = capture.judged()
    if any(shares_of(phase, phase.context) for phase in phases):
        return Stack(
            "cycles", "where the cycles went", CYCLES, lambda subject, phase: shares_of(subject, phase.context)
        )
    if any(phase.metrics[key].known for phase in phases for _, key, _ in MIX):
        return Stack("instructions", "what the instructions were", tuple((name, c) for name, _, c in MIX), _mix)
    return _operations(capture)


def stalls(capture: Capture, form: str = "png") -> bytes:
    """A bar for each phase: its cycles as shares, the verdict beside it; without stalls what else is known."""
    phases = capture.judged()[:_MOST_PHASES]
    stack = stack_of(capture)
    drawn = draw.figure(9.0, 1.9 + 0.62 * max(1, len(phases)))
    axes = drawn.subplots()
    for row, phase in enumerate(phases):
        _bar(axes, row, phase, stack)
    axes.set_yticks(range(len(phases)), [_name(phase) for phase in phases])
    axes.set_ylim(len(phases) - 0.4, -0.75)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"share of {stack.of if stack else 'cycles'} (%)")
    axes.grid(axis="x", color=draw.LIGHT)
    draw.tidy(axes)
    axes.set_title(_title(capture, stack.title if stack else "where the cycles went"), loc="left", fontsize=11)
    if stack:
        draw.legend_below(drawn, stack.parts)
    return draw.save(drawn, form)


def timeline(capture: Capture, form: str = "png") -> bytes:
    """Every step over time: its length above, the shares of its cycles below (instruction classes without stalls)."""
    phases = [phase for phase in capture.judged() if phase.phase.steps]
    drawn = draw.figure(10.0, 5.4)
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=[1, 1.4])
    begin = min((step.start_s for phase in phases for step in phase.phase.steps), default=0.0)
    stack = stack_of(capture)
    for number, phase in enumerate(phases):
        if not capture.is_emulated:
            _lengths(above, phase, begin, draw.SERIES[number % len(draw.SERIES)])
        if stack:
            _shares(below, phase, begin, stack)
    above.set_ylabel("step length (ms)")
    if capture.is_emulated:
        _say(above, "an emulator's clock tells no lengths")
    else:
        draw.log_axis(above, "y")
    above.grid(axis="y", color=draw.LIGHT)
    above.set_title(_title(capture, "steps over time"), loc="left", fontsize=11)
    if phases and not capture.is_emulated:
        above.legend(fontsize=9, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4)
        below.set_xlim(0, max(step.start_s + step.duration_s for phase in phases for step in phase.phase.steps) - begin)
    below.set_ylabel(f"share of {stack.of if stack else 'cycles'} (%)")
    below.set_ylim(0, 100)
    below.set_xlabel("steps, one after the other" if capture.is_emulated else "time since the first step (s)")
    if stack:
        draw.legend_below(drawn, stack.parts)
    else:
        _say(below, "no stalls and no instruction classes were counted, no operations timed")
    if capture.is_emulated:
        below.set_xticks([])
    for axes in (above, below):
        draw.tidy(axes)
    return draw.save(drawn, form)


def shares_of(subject: Step | JudgedPhase, context: Context) -> list[float] | None:
    """The four parts of CYCLES in percent of cycles, None where back-end stalls were not counted."""
    target = subject.evidence.subject if isinstance(subject, JudgedPhase) else subject
    backend = metric(target, "be", context.core).number()
    if not 0 <= backend <= 1.05:
        return None
    memory, front = (metric(target, key, context.core).number() for key in ("mc", "fe"))
    memory = min(memory, backend) if math.isfinite(memory) else 0.0
    front = front if math.isfinite(front) else 0.0
    rest = max(0.0, 1.0 - backend - front)
    return [100 * memory, 100 * (backend - memory), 100 * front, 100 * rest]


def _mix(subject: Step | JudgedPhase, phase: JudgedPhase) -> list[float]:
    target = subject.evidence.subject if isinstance(subject, JudgedPhase) else subject
    return [100 * metric(target, key, phase.context.core).number() for _, key, _ in MIX]


def _operations(capture: Capture) -> Stack | None:
    """Time by operation: the largest ones, the others, and waiting."""
    timed: dict[str, dict[int, float]] = {}
    calls = [step.call for phase in capture.judged() for step in phase.phase.steps if step.call is not None]
    for name, rows in operations.seconds_by_call(capture.table, calls).items():
        timed[name] = dict(rows)
    if not timed:
        return None
    largest = sorted((name for name in timed if name not in WAITING), key=lambda name: -sum(timed[name].values()))
    leading = largest[: len(_OPERATION_COLOURS)]
    rest = [name for name in timed if name not in leading and name not in WAITING]
    columns = [[name] for name in leading] + [rest, [name for name in timed if name in WAITING]]
    names = [*(draw.label(name, 24) for name in leading), "other operations", "waiting"]
    colours = [*_OPERATION_COLOURS[: len(leading)], draw.LIGHT, draw.GREY]

    def shares(subject: Step | JudgedPhase, phase: JudgedPhase) -> list[float] | None:
        steps = subject.phase.steps if isinstance(subject, JudgedPhase) else [subject]
        total = sum(step.duration_s for step in steps)
        numbers = [step.call for step in steps if step.call is not None]
        sums = [sum(timed[name].get(call, 0.0) for name in column for call in numbers) for column in columns]
        return [100 * value / total for value in sums] if total > 0 else None

    return Stack("time", "where the time went", tuple(zip(names, colours, strict=True)), shares)


def _bar(axes: Axes, row: int, phase: JudgedPhase, stack: Stack | None) -> None:
    shares = stack.shares(phase, phase) if stack else None
    combined = phase.judgement.combined
    words = str(combined.outcome) + (f" ({combined.confidence} confidence)" if combined.is_finding else "")
    words = words if stack is None or stack.parts == CYCLES else f"stalls: {words}"
    axes.text(0.5, row - 0.42, draw.label(words, 80), fontsize=9, va="bottom")
    if stack is None or shares is None:
        axes.barh(row, 100, height=0.6, color="white", edgecolor=draw.GREY, hatch="///")
        axes.text(50, row, "stalls not measured", ha="center", va="center", fontsize=9, backgroundcolor="white")
        return
    left = 0.0
    for share, (_, colour) in zip(np.nan_to_num(shares), stack.parts, strict=True):
        axes.barh(row, share, left=left, height=0.6, color=colour, edgecolor="white", linewidth=0.6)
        if share >= 6:
            dark = colour in (draw.BLUE, draw.BLACK)
            axes.text(
                left + share / 2,
                row,
                f"{share:.0f} %",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if dark else "black",
            )
        left += share
    if stack.parts == CYCLES and not phase.metrics["mc"].known:
        axes.text(99, row, "memory stalls not measured", ha="right", va="center", fontsize=8)


def _lengths(axes: Axes, phase: JudgedPhase, begin: float, colour: str) -> None:
    steps = [step for step in phase.phase.steps if step.duration_s > 0]
    starts = [step.start_s - begin for step in steps]
    ends = [start + step.duration_s for start, step in zip(starts, steps, strict=True)]
    lengths = [1e3 * step.duration_s for step in steps]
    axes.hlines(lengths, starts, ends, color=colour, linewidth=2.5, label=draw.label(phase.title, 40))


def _shares(axes: Axes, phase: JudgedPhase, begin: float, stack: Stack) -> None:
    rows = [stack.shares(step, phase) or [math.nan] * len(stack.parts) for step in phase.phase.steps]
    if not rows:
        return
    starts = np.array([step.start_s - begin for step in phase.phase.steps])
    ends = starts + np.array([step.duration_s for step in phase.phase.steps])
    # one outline a part instead of one bar a step: a thousand tokens are drawn in a moment
    edges = np.column_stack([starts, ends]).ravel()
    tops = np.repeat(np.cumsum(np.nan_to_num(np.array(rows, dtype=np.float64)), axis=1), 2, axis=0)
    edges, tops = _with_gaps(edges, tops)
    below = np.zeros(len(edges))
    for column, (_, colour) in enumerate(stack.parts):
        axes.fill_between(edges, below, tops[:, column], color=colour, linewidth=0)
        below = tops[:, column]


def _with_gaps(edges: np.ndarray, tops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nothing where no step ran: a break before each step that begins after the end of the one before it."""
    pauses = edges[2::2] - edges[1:-1:2]
    at = 2 + 2 * np.flatnonzero(pauses > 1e-3 * np.median(edges[1::2] - edges[::2]))
    return np.insert(edges, at, np.nan), np.insert(tops, at, np.nan, axis=0)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=draw.GREY)


def _name(phase: JudgedPhase) -> str:
    speed = phase.tokens_per_second
    return draw.label(phase.title, 36) + (f"\n{speed:.1f} tokens/s" if math.isfinite(speed) else "")


def _title(capture: Capture, what: str) -> str:
    emulated = " (EMULATED)" if capture.is_emulated else ""
    return f"{draw.label(capture.path.name, 50)}: {what}{emulated}"
