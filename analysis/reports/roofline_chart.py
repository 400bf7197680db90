"""The roofline of a capture: phases and operations as points, under the bandwidth and arithmetic that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis import operations
from analysis.errors import printable
from analysis.judging import Capture, JudgedPhase
from analysis.metrics import LINE_BYTES, describe
from analysis.operations import REFILL_EVENTS, Operation
from analysis.phase import OK
from analysis.reports import figure as draw
from analysis.terminal import aligned, fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_OPERATIONS = 8
_MODEL_BYTES = "weights"


@dataclass(frozen=True)
class Point:
    """One phase or operation. work: arithmetic operations, or instructions where `unit` says so.

    seconds: until the slowest thread was done.  bytes_read: from memory, by `source`.  share: of the phase's time.
    """

    phase: str
    operation: str
    seconds: float
    share: float
    work: float
    unit: str
    bytes_read: float
    source: str

    @property
    def bandwidth(self) -> float:
        """Bytes a second, NaN where not known."""
        return self.bytes_read / self.seconds if self.seconds > 0 else math.nan

    @property
    def rate(self) -> float:
        """Work a second, NaN where not known."""
        return self.work / self.seconds if self.seconds > 0 and self.work > 0 else math.nan

    @property
    def intensity(self) -> float:
        """Work a byte, NaN where either is not known."""
        return self.work / self.bytes_read if self.bytes_read > 0 and self.work > 0 else math.nan


def points(capture: Capture) -> list[Point]:
    """A point for each phase, followed by those of its operations that took most time; set-aside steps left out."""
    found: list[Point] = []
    for phase in capture.judged():
        calls = [step.call for step in phase.evidence.steps if step.call is not None]
        parts = operations.of_calls(capture.table, calls) if calls else []
        whole = _of_phase(phase, parts)
        found.append(whole)
        by_shape = whole.unit == "operations"
        found += [_of_operation(phase, part, by_shape) for part in parts[:_MOST_OPERATIONS] if part.elapsed > 0]
    return found


def render(capture: Capture, compute_peak: float | None = None) -> str:
    """The points as a table, ending in a line break. compute_peak: operations a second."""
    peak = next((phase.context.read_peak for phase in capture.judged() if phase.context.read_peak), None)
    lines = fitted([_heading(capture, peak, compute_peak)])
    head = ("phase", "operation", "time", "GB/s", "of peak", "work/byte", "work/s", "bytes by")
    rows = [head, *(_cells(point, peak) for point in points(capture))]
    lines += aligned(rows)
    for phase in capture.judged():
        lines += fitted([f"{phase.title}: {phase.judgement.roofline.text}"])
    return "\n".join(lines) + "\n"


def picture(capture: Capture, compute_peak: float | None = None, form: str = "png") -> bytes:
    """The points over work a byte, log-log, with the measured roofs."""
    drawn = draw.figure(8.5, 5.6)
    axes = drawn.subplots()
    shown = [point for point in points(capture) if math.isfinite(point.rate) and math.isfinite(point.intensity)]
    peak = next((phase.context.read_peak for phase in capture.judged() if phase.context.read_peak), None)
    if not shown:
        counted = "no phase has both work and bytes from memory counted"
        text = "an emulator's clock gives no rates" if capture.is_emulated else counted
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")
    units = sorted({point.unit for point in shown}) or ["instructions"]
    unit = " or ".join(units)
    if shown:
        _roofs(axes, shown, peak, compute_peak if units == ["operations"] else None)
        _draw_points(axes, shown)
    axes.set_xlabel(f"{unit} per byte from memory")
    axes.set_ylabel(f"10⁹ {unit} per second")
    emulated = " (EMULATED)" if capture.is_emulated else ""
    axes.set_title(f"{draw.label(capture.path.name, 50)}: roofline{emulated}", loc="left", fontsize=11)
    axes.grid(color=draw.LIGHT)
    draw.tidy(axes)
    return draw.save(drawn, form)


def _of_phase(phase: JudgedPhase, parts: Sequence[Operation]) -> Point:
    seconds = phase.time(phase.evidence.subject.duration_s)
    work, unit = sum(part.work for part in parts), "operations"
    if not work:
        unit = "instructions"
        work = _count(phase, "INST_RETIRED") or _count(phase, "INST_SPEC") or math.nan
    for event in REFILL_EVENTS:
        refills = _count(phase, event)
        if refills is not None:
            return Point(phase.title, "", seconds, 1.0, work, unit, refills * LINE_BYTES, event)
    calls = len(phase.evidence.steps)
    read = phase.context.model_bytes * calls if phase.context.model_bytes and calls else math.nan
    return Point(phase.title, "", seconds, 1.0, work, unit, read, _MODEL_BYTES if math.isfinite(read) else "")


def _of_operation(phase: JudgedPhase, part: Operation, by_shape: bool) -> Point:
    work = part.work if by_shape else part.counts.get("INST_RETIRED", part.counts.get("INST_SPEC", math.nan))
    unit = "operations" if by_shape else "instructions"
    read, source = part.bytes_read
    seconds = phase.time(phase.evidence.subject.duration_s)
    share = part.seconds / seconds if seconds > 0 else math.nan
    return Point(phase.title, printable(part.name, 40), phase.time(part.elapsed), share, work, unit, read, source)


def _count(phase: JudgedPhase, event: str) -> float | None:
    count = phase.evidence.subject.counts.get(event)
    return count.value if count is not None and count.status == OK and math.isfinite(count.value) else None


def _heading(capture: Capture, peak: float | None, compute_peak: float | None) -> str:
    roofs = [f"read peak {peak / 1e9:.2f} GB/s" if peak else "no measured read peak (--read-peak GB/s)"]
    if compute_peak:
        roofs.append(f"arithmetic peak {compute_peak / 1e9:.1f} GOP/s")
    emulated = "  EMULATED" if capture.is_emulated else ""
    return f"{printable(str(capture.path), 500)}  {', '.join(roofs)}{emulated}"


def _cells(point: Point, peak: float | None) -> tuple[str, ...]:
    known = math.isfinite(point.bandwidth)
    unit = "GOP/s" if point.unit == "operations" else "Ginst/s"
    return (
        point.phase if not point.operation else "",
        point.operation,
        _time(point),
        f"{point.bandwidth / 1e9:.2f}" if known else "-",
        f"{100 * point.bandwidth / peak:.0f} %" if known and peak else "-",
        f"{point.intensity:.3g}" if math.isfinite(point.intensity) else "-",
        f"{describe(point.rate / 1e9, '')} {unit}" if math.isfinite(point.rate) else "-",
        point.source or "-",
    )


def _time(point: Point) -> str:
    """An operation's share, a phase's seconds; `-` where the clock was an emulator's."""
    if not math.isfinite(point.seconds):
        return "-"
    return f"{100 * point.share:.1f} %" if point.operation else f"{point.seconds:.3f} s"


def _roofs(axes: Axes, shown: Sequence[Point], peak: float | None, compute_peak: float | None) -> None:
    low = min(point.intensity for point in shown) / 8
    high = max(point.intensity for point in shown) * 3
    if peak and compute_peak:
        high = max(high, 3 * compute_peak / peak)
    draw.log_axis(axes, "x")
    draw.log_axis(axes, "y")
    axes.set_xlim(low, high)
    rates = [point.rate / 1e9 for point in shown]
    axes.set_ylim(min(rates) / 4, 3 * max([*rates, *([compute_peak / 1e9] if compute_peak else [])]))
    if peak:
        knee = min(high, compute_peak / peak) if compute_peak else high
        axes.plot([low, knee], [low * peak / 1e9, knee * peak / 1e9], color=draw.BLACK, linewidth=1.5)
        top = compute_peak / peak if compute_peak else axes.get_ylim()[1] / (peak / 1e9)
        axes.annotate(
            f"read peak {peak / 1e9:.1f} GB/s",
            (top / 1.6, top / 1.6 * peak / 1e9),
            xytext=(-10, 0),
            textcoords="offset points",
            ha="right",
            fontsize=9,
        )
    if compute_peak:
        start = compute_peak / peak if peak else low
        axes.plot([start, high], [compute_peak / 1e9] * 2, color=draw.BLACK, linewidth=1.5)
        axes.annotate(
            f"arithmetic peak {compute_peak / 1e9:.0f} GOP/s",
            (start, compute_peak / 1e9),
            xytext=(6, 6),
            textcoords="offset points",
            fontsize=9,
        )


def _draw_points(axes: Axes, shown: Sequence[Point]) -> None:
    phases = list(dict.fromkeys(point.phase for point in shown))
    for point in shown:
        number = phases.index(point.phase)
        colour = draw.SERIES[number % len(draw.SERIES)]
        marker = draw.MARKERS[number % len(draw.MARKERS)]
        size = 130 if not point.operation else 25 + 70 * min(1.0, point.share if math.isfinite(point.share) else 0.0)
        face = colour if not point.operation else "none"
        axes.scatter(
            point.intensity, point.rate / 1e9, s=size, marker=marker, facecolor=face, edgecolor=colour, zorder=3
        )
        # phases are named below their mark and operations beside it, so that the two never share a place
        below = not point.operation
        axes.annotate(
            draw.label(point.operation or point.phase, 30),
            (point.intensity, point.rate / 1e9),
            xytext=(0, -20) if below else (8, 3),
            textcoords="offset points",
            ha="center" if below else "left",
            fontsize=10 if below else 9,
            fontweight="bold" if below else "normal",
        )
