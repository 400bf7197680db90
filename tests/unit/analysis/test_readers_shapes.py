"""Rows by their shape: whatever is taken quickly is what the careful parser makes of it (`shapes`)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from capture_tables import parsed
from hypothesis import given
from hypothesis import strategies as st

from analysis.readers import perf_text_row
from analysis.readers.perf_rows import Malformed
from analysis.readers.shapes import SIGHTS, TRIED, Found, Shapes, added, pending_row

ROWS = [
    "     1.000123456      {0:>17}      cycles                    #    {1} GHz                      ({2}%)",
    "     1,000123456      {0:>17}      cycles:u",
    "CPU{3}                {0:>17}      stalled-cycles-backend    #   {2}% backend cycles idle     [{2}%]",
    "S0-D0-C{3}      2     {0:>17}      r{3}                      (scaled from {2}%)",
    "     bench-10{3}      {0:>17}      armv8_pmuv3_{3}/l3d_cache_refill/",
    "     1.000123456      {0:>17}      cycles                    system.slice/a{3}   #   {1} insn per cycle",
    "     1.000123456      {0:>17}      slots                     #     {1} %  tma_backend_bound    ({2}%)",
    "         {1} msec task-clock                #    {1} CPUs utilized            ( +-  {2}% )",
    "                 0 cycles                    #    {1} GHz                      ( +-  0.00% ) [{2}%]",
    "                 7 cycles                    #    {1} GHz                      ( +-  {2}% )",
    "     {0:>17}      1000 {3}",
    "         {1} Joules power/energy-pkg/",
    "     1.000123456   <not counted>      cycles                                       ({2}%)",
    "   <not supported>      cycles:u",
    "     1.000123456      {0:>17}      instructions              #    {1} insn_per_cycle  ({2}%)",
    "     1.000123456      {0:>17}      stalled-cycles-backend    #     {1} backend_cycles_idle",
    "     1.000123456      TopdownL1                 #     {1} %  backend_bound",
    "     1.000123456                                #     {1} %  retiring         ({2}%)",
    "                                                #     {1} %  retiring",
    "                                                #     {1}  stalled cycles per insn   ({2}%)",
]
COUNTS = st.builds(
    lambda number, mark: f"{number:,}".replace(",", mark),
    st.integers(0, 10**15),
    st.sampled_from([",", ".", "'", "’", "\u202f", "", " "]),
)
RATIOS = st.builds("{:.{}f}".format, st.floats(0, 1000), st.sampled_from([2, 3, 6]))
SHARES = st.builds("{:.2f}".format, st.floats(0, 120))


@given(st.sampled_from(ROWS), st.lists(st.tuples(COUNTS, RATIOS, SHARES, st.integers(0, 9)), min_size=1, max_size=6))
def test_the_careful_parser_says_the_same(row: str, numbers: list[tuple[str, str, str, int]]) -> None:
    shapes = Shapes(lambda line: True)
    for texts in numbers:
        line = row.format(*texts)
        found = _found(shapes, line)
        if found is None:
            continue
        shape, values = found
        time_s, running = shape.time_s(values), shape.running(values)
        if running is not None and running > 1:  # the reader hands these back
            with pytest.raises(Malformed):
                perf_text_row.parse(line)
            continue
        careful = perf_text_row.parse(line)
        assert careful is not None
        if shape.row is None or running is None:
            assert repr(shape.line(values, running)) == repr(careful)
            continue
        assert careful.row is not None
        quick, metrics = pending_row(shape, values, time_s, running)
        assert repr(quick) == repr(careful.row) and repr(metrics) == repr(careful.metrics)
        (of_row, *of_metrics) = added(shape, values, time_s, running)
        assert of_row[2] == careful.row.value or math.isnan(careful.row.value)
        assert [one[2] for one in of_metrics] == [metric.value for metric in careful.metrics]


def _found(shapes: Shapes, line: str) -> Found | None:
    """Of a line that comes back until its shape is learnt."""
    return [shapes.find(line) for _ in range(SIGHTS)][-1]


def test_shapes_that_do_not_come_back_are_looked_up_no_more() -> None:
    row = ROWS[1].format("1,234,567").replace("cycles", "{}")
    shapes = Shapes(lambda line: True)
    assert _found(shapes, row.format("cycles"))
    for n in range(TRIED):
        shapes.find(row.format("x" * (n % 50) + chr(ord("a") + n % 26)) + " " * (n // 50))
    assert not shapes.find(row.format("cycles"))


def test_most_rows_are_taken_quickly() -> None:
    taken = [_found(Shapes(lambda line: True), row.format("1,234,567", "12.34", "83.33", 4)) for row in ROWS]
    assert sum(map(bool, taken)) >= len(ROWS) - 4


def test_what_a_line_adds_to_the_one_above(tmp_path: Path) -> None:
    row = "     {0}.000123456      3,000      cycles                    #    1.000 GHz\n"
    shared = "     {0}.000123456                                      #    0.33  insn per cycle   (40.00%)\n"
    text = "#           time             counts unit events\n" + "".join((row + shared).format(n) for n in range(1, 5))
    assert list(parsed(tmp_path, text).frame["running"]) == [0.4] * 4
