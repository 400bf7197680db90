"""Lines of a block by their shape: whatever is found for a block is what is found for each line of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from capture_tables import written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.readers.perf_csv_row import Dialect
from analysis.readers.perf_csv_shapes import shapes_of
from analysis.readers.perf_json_shapes import new_shapes
from analysis.readers.shape_blocks import FEWEST, Lines
from analysis.readers.shapes import TEXT, Shape, Shapes
from analysis.readers.source import Source


def _of_text() -> Shapes:
    return Shapes(lambda line: True)


def _of_csv() -> Shapes:
    shapes = shapes_of(Dialect(","))
    assert shapes
    return shapes


KINDS: dict[str, tuple[Callable[[], Shapes], tuple[str, ...]]] = {
    "text": (
        _of_text,
        (
            "     1.{n:09d}      {n:>17,}      cycles          #    {r:.3f} GHz       ({s:5.2f}%)",
            "     1.{n:09d}      {n:>17,}      l{d}d_cache                          ({s:5.2f}%)",
            "     1,{n:09d}      {french:>17}      r{d}",
            "                                  #     {r:4.1f} %  retiring",
            "a program's own line {n}",
        ),
    ),
    "csv": (
        _of_csv,
        ("{d}.{n:09d},{n},,r{d},/a/b,{n},{s:.2f},{r:.6f},%  retiring", "{d}.{n:09d},,,,,,{r:.1f},%  tma_retiring"),
    ),
    "json": (
        new_shapes,
        (
            '{{"interval" : 1.{n:09d}, "counter-value" : "{n}.000000", "event" : "r{d}", "pcnt-running" : {s:.2f}}}',
            '{{"interval" : 1,{n:09d}, "cpu" : "{d}", "counter-value" : "{n},{n:06d}", "event" : "cycles"}}',
            '{{"metric-value" : "{n}.{n:09d}", "metric-unit" : "%  tma_retiring"}}',
            '{{"counter-value" : {n:02d}, "event" : "cycles", "pcnt-running" : {s:.2f}}}',
        ),
    ),
}
NUMBERS = st.tuples(
    st.one_of(st.integers(0, 999_999), st.integers(0, 10**18)), st.floats(0, 1000), st.floats(0, 104), st.integers(0, 3)
)


@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(st.data())
def test_a_block_is_its_lines(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    new, rows = KINDS[kind]
    numbers = data.draw(st.lists(NUMBERS, min_size=1, max_size=5))
    chosen = data.draw(st.lists(st.sampled_from(rows), min_size=1, max_size=3))
    lines = [
        row.format(n=n, r=r, s=s, d=d, french=f"{n:,}".replace(",", "\u202f"))
        for n, r, s, d in numbers
        for row in chosen
    ]
    lines *= FEWEST // len(lines) + 1
    source = Source(written(tmp_path, "\n".join(lines) + "\n"))
    one_by_one, together = new(), Lines(new())
    for row, line in together.of_source(source):
        assert line == lines[row - 1]
        alone, found = one_by_one.find(line), together.find(row, line)
        if alone:  # of a block shapes are learnt at once
            assert found and _told(*found) == _told(*alone)


def _told(shape: Shape, values: Sequence[float]) -> str:
    row = shape.row and (shape.value(values), shape.row._replace(time_s=0.0, value=0.0, running=0.0))
    error = values[shape.error] if shape.error >= 0 else None
    metrics = [(values[at], metric._replace(time_s=0.0, value=0.0, running=0.0)) for at, metric in shape.metrics]
    return repr((shape.time_s(values), shape.running(values), row, error, metrics, shape.group))


def test_blocks_of_which_no_two_lines_are_alike(tmp_path: Path) -> None:
    lines = [f"     1.000123456      {n:>17,}      event_of_{'x' * n}" for n in range(FEWEST)]
    source = Source(written(tmp_path, "\n".join(lines) + "\n"))
    together = Lines(Shapes(lambda line: True, TEXT._replace(cut=None)))
    assert not any(together.find(row, line) for row, line in together.of_source(source))
    assert all(together.find(row, line) for row, line in together.of_source(source))
