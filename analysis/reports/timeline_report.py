"""The report of a capture's steps: how long each took, how they spread, what each one's time or cycles went to."""

from __future__ import annotations

from analysis.breakdown import step_seconds
from analysis.errors import printable
from analysis.judging import Capture
from analysis.reports import capture_charts, capture_report, summary
from analysis.reports.charts import fewer
from analysis.reports.model import EMULATED, Block, Cell, Column, Report, Section, Table, fixed

_MOST_STEPS = 2000
"""Rows: a page of more is read by nobody, and each has a verdict of its own."""


def of_capture(capture: Capture, pages: bool = True) -> Report:
    """A row a step behind the spread of each phase's steps. pages: without, no charts, which the text leaves out."""
    charts = [capture_charts.lengths(capture), capture_charts.shares(capture)] if pages else []
    steps = capture_report.steps_of(capture)
    blocks: list[Block] = [*charts]
    spread = _spread(capture)
    if spread.rows:
        blocks.append(spread)
    sections = [Section("", blocks)]
    if steps:
        size = fewer(len(steps), _MOST_STEPS)
        title = "Every step" if size == 1 else f"One step in {size}, of {len(steps)}"
        sections.append(Section(title, [capture_report.steps_table(capture, steps[::size])]))
    else:
        sections.append(Section("no steps: the capture has no calls and no markers (see --markers)", []))
    return Report(
        title=printable(capture.path.name, 200),
        kind="Steps over time",
        facts=capture_report.known_facts(capture),
        details=[],
        cards=[summary.of_phase(phase, capture) for phase in capture.judged()],
        sections=sections,
        warnings=[EMULATED] if capture.is_emulated else [],
        picture=[[chart] for chart in charts],
    )


def _spread(capture: Capture) -> Table:
    """Median and percentiles of the steps of single tokens, a row a phase; no rows of emulated captures."""
    rows: list[list[Cell]] = []
    for phase in capture.judged():
        found = step_seconds(phase)
        if found and not phase.context.emulated:
            low, median, high = (1e3 * seconds for seconds in found)
            rows.append([phase.title, median, low, high, high / median])
    decimals = fixed([row[3] for row in rows], 4)
    columns = (
        Column("single tokens of"),
        Column("median", decimals, " ms"),
        Column("p5", decimals, " ms", secondary=True),
        Column("p95", decimals, " ms"),
        Column("p95 / median", 2),
    )
    return Table("", columns, rows)
