"""The roofline of a capture: phases and operations as points, under the bandwidth and arithmetic measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis import operations, palette
from analysis.errors import printable
from analysis.judging import Capture, JudgedPhase
from analysis.metrics import LINE_BYTES
from analysis.operations import REFILL_EVENTS, Operation
from analysis.phase import OK
from analysis.reports import summary
from analysis.reports.capture_charts import MOST_DRAWN, left_out
from analysis.reports.charts import Axis, Kind, Plot, Series
from analysis.reports.model import EMULATED, Cell, Column, Fact, Report, Section, Table, fixed

_LEAST, _MOST = 1e-30, 1e30
_NO_PEAK = "no roof: the read peak was not measured. q4engine run --capture measures it; --read-peak GB/s states one"
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


def of_capture(capture: Capture, compute_peak: float | None = None) -> Report:
    """The points as a table and as a chart. compute_peak: operations a second."""
    peak = _peak(capture)
    found = points(capture)
    roofs = [f"read peak {peak / 1e9:.2f} GB/s" if peak else "no measured read peak (--read-peak GB/s)"]
    if compute_peak:
        roofs.append(f"arithmetic peak {compute_peak / 1e9:.1f} GOP/s")
    chart = of_points(capture, found, compute_peak)
    verdicts = [Fact(phase.title, phase.judgement.roofline.text) for phase in capture.judged()]
    return Report(
        title=capture.path.name,
        kind="Roofline",
        facts=roofs,
        details=[],
        cards=[summary.of_phase(phase, capture) for phase in capture.judged()],
        sections=[Section("", [chart, table(found, peak), *verdicts])],
        warnings=[EMULATED] if capture.is_emulated else [],
        picture=[[chart]],
    )


def table(found: Sequence[Point], peak: float | None) -> Table:
    """A row for each point."""
    rows = [_cells(point, peak) for point in found]
    digits = [max(1, fixed([row[column] for row in rows], 3)) for column in (4, 6, 7)]
    columns = (
        Column("phase"),
        Column("operation"),
        Column("time", 3, " s", secondary=True, missing="-"),
        Column("share", 1, " %", missing="-"),
        Column("GB/s", digits[0], missing="-"),
        Column("of peak", 0, " %", missing="-", secondary=not peak),
        Column("work/byte", digits[1], secondary=True, missing="-"),
        Column("10⁹ work/s", digits[2], secondary=True, missing="-"),
        Column("work", secondary=True),
        Column("bytes by", secondary=True),
    )
    hues = [palette.operation(point.operation) if point.operation else "" for point in found]
    return Table("", columns, rows, hues)


def of_points(capture: Capture, found: Sequence[Point], compute_peak: float | None = None) -> Plot:
    """The points over work a byte, log-log, under the measured roofs."""
    shown = [point for point in found if _is_drawn(point.rate) and _is_drawn(point.intensity)]
    units = sorted({point.unit for point in shown}) or ["instructions"]
    unit = " or ".join(units)
    peak, title = _peak(capture), f"Roofline{' (EMULATED)' if capture.is_emulated else ''}"
    x, y = Axis(f"{unit} per byte from memory", log=True), Axis(f"10⁹ {unit} per second", log=True)
    if not shown:
        why = "no phase has both work and bytes from memory counted"
        why = "an emulator's clock gives no rates" if capture.is_emulated else why if peak else f"{why}; {_NO_PEAK}"
        return Plot(title, x, y, empty=why)
    roof = compute_peak if units == ["operations"] else None
    x, y = _axes(shown, peak, roof, x, y)
    series = (*_roofs(peak, roof, x, y), *_phases(capture, shown))
    return Plot(title, x, y, series, remark="; ".join(([] if peak else [_NO_PEAK]) + left_out(capture)))


def _is_drawn(value: float) -> bool:
    """Whether it has a place over a logarithmic axis: no machine has others."""
    return _LEAST <= value <= _MOST


def _peak(capture: Capture) -> float | None:
    return next((phase.context.read_peak for phase in capture.judged() if phase.context.read_peak), None)


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


def _cells(point: Point, peak: float | None) -> list[Cell]:
    return [
        point.phase,
        point.operation,
        point.seconds if not point.operation else None,
        100 * point.share if math.isfinite(point.seconds) else None,
        point.bandwidth / 1e9,
        100 * point.bandwidth / peak if peak else None,
        point.intensity,
        point.rate / 1e9,
        point.unit,
        point.source or "-",
    ]


def _axes(shown: Sequence[Point], peak: float | None, roof: float | None, x: Axis, y: Axis) -> tuple[Axis, Axis]:
    """Wide enough for the points and for the knee of the roofs."""
    low, high = min(point.intensity for point in shown) / 6, max(point.intensity for point in shown) * 4
    if peak and roof:
        high = max(high, 3 * roof / peak)
    rates = [point.rate / 1e9 for point in shown]
    top = 3 * max([*rates, *([roof / 1e9] if roof else [])])
    return replace(x, low=low, high=high), replace(y, low=min(rates) / 3, high=top)


def _roofs(peak: float | None, roof: float | None, x: Axis, y: Axis) -> list[Series]:
    """Roofs within the axes."""
    assert x.low and x.high and y.low and y.high
    found = []
    if peak:
        begin = max(x.low, y.low / (peak / 1e9))
        end = min(x.high, (roof / peak) if roof else x.high, y.high / (peak / 1e9))
        line = tuple((at, at * peak / 1e9) for at in (begin, begin**0.35 * end**0.65, end))
        found.append(
            Series("", palette.FAINT, line, Kind.RULE, labels=("", f"read peak {peak / 1e9:.1f} GB/s", ""), below=True)
        )
    if roof:
        begin = max(x.low, roof / peak) if peak else x.low
        line = tuple((at, roof / 1e9) for at in (begin, x.high))
        found.append(Series("", palette.FAINT, line, Kind.RULE, labels=(f"arithmetic peak {roof / 1e9:.0f} GOP/s", "")))
    return found


def _phases(capture: Capture, shown: Sequence[Point]) -> list[Series]:
    """A mark a phase and smaller ones for its operations; shape and hue are the phase's."""
    found = []
    of_phases: dict[str, list[Point]] = {}
    for point in shown:
        of_phases.setdefault(point.phase, []).append(point)
    for number, phase in enumerate(capture.judged()[:MOST_DRAWN]):
        if mine := of_phases.get(phase.title):
            sizes = [1.9 if not point.operation else 0.8 + 0.8 * _known(point.share) for point in mine]
            found.append(
                Series(
                    phase.title,
                    palette.phase(phase.phase.label, number),
                    tuple((point.intensity, point.rate / 1e9) for point in mine),
                    Kind.DOTS,
                    tuple(_tip(point) for point in mine),
                    tuple(point.operation or point.phase for point in mine),
                    number,
                    sizes=tuple(sizes),
                )
            )
    return found


def _known(share: float) -> float:
    return min(1.0, share) if math.isfinite(share) else 0.0


def _tip(point: Point) -> str:
    name = f"{point.phase}, {point.operation}" if point.operation else point.phase
    unit = "GOP/s" if point.unit == "operations" else "10⁹ instructions/s"
    return f"{name}: {point.rate / 1e9:.3g} {unit}, {point.bandwidth / 1e9:.3g} GB/s (bytes by {point.source})"
