"""Rows of `perf stat -x` by their shape: tables, notes and errors are those of the careful parser alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.readers import perf_csv, shapes
from analysis.readers.perf_csv_row import Dialect
from analysis.readers.perf_csv_shapes import shapes_of
from analysis.readers.source import Source

ROWS = [
    "{t},{n},,cycles,100000000,{s},1.20,GHz",
    "{t},,,,,,{r},%  tma_backend_bound",
    "{t},,100000000,{s},,,,TopdownL1 (cpu_core)",
    "{t},{n},,cycles,/a/b{d},100000000,{s},{r},insn per cycle",
    "{t},{n},,cycles,{r}%,100000000,{s},{r},insn per cycle",
    "{t},CPU{d},{n},,r{d},100000000,{s},,",
    "{t},S0-D0-C{d},{d},{n},,cpu/event=0x24,c={d},{d}/,100000000,{s},{r},%  retiring",
    "{t},<not counted>,,cycles,10000000,{s},,",
    "{t},{r},msec,task-clock,{n},{s},{r},CPUs utilized",
    "{n},,cycles,100000000,{s},{r},stalled  backend_cycles_idle",
    "a program's own line {n}",
]
CELLS = st.fixed_dictionaries(
    {
        "n": st.integers(0, 10**20).map(str),
        "r": st.builds("{:.{}f}".format, st.floats(0, 1000), st.sampled_from([0, 2, 6])),
        "s": st.builds("{:.2f}".format, st.floats(0, 104)),
        "d": st.integers(0, 12).map(str),
    }
)


def _read(path: Path, lenient: bool) -> object:
    try:
        table = perf_csv.read(Source(path, lenient))
    except AnalysisError as problem:
        return str(problem)
    return [(run.frame.to_csv(), repr(run.meta), run.notes) for run in [table, *table.runs]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ROWS), CELLS), min_size=1, max_size=12), st.booleans(), st.sampled_from(".,"))
def test_the_careful_parser_says_the_same(
    tmp_path: Path, rows: list[tuple[str, dict[str, str]]], lenient: bool, point: str
) -> None:
    path = tmp_path / "capture.csv"
    lines = [f"1.000123456,5,,cycles,100000000,100{point}00,,"]
    for n, (row, cells) in enumerate(rows):
        spelled = {name: text.replace(".", point) for name, text in cells.items()}
        lines.append(row.format(t=f"{n // 4 + 1}.000123456", **spelled))
    path.write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "SIGHTS", 1)
        quick = _read(path, lenient)
        patch.setattr(perf_csv, "shapes_of", lambda dialect: None)
        assert quick == _read(path, lenient)


@pytest.mark.parametrize("row", ROWS[:9])
@pytest.mark.parametrize("point", [".", ","])
def test_plain_rows_have_a_shape(row: str, point: str) -> None:
    found = shapes_of(Dialect(",", comma=point == ","))
    assert found
    cells = {"n": "1234567", "r": f"12{point}34", "s": f"83{point}33", "d": "4"}
    row = row.replace("{r},%  ", "12,%  ")  # perf cuts a ratio's decimals off with their comma
    assert [found.find(row.format(t="1.000123456", **cells)) for _ in range(shapes.SIGHTS)][-1]


@pytest.mark.parametrize("dialect", [Dialect(";;"), Dialect("."), Dialect("%")])
def test_separators_of_which_numbers_hold_a_part_have_none(dialect: Dialect) -> None:
    assert shapes_of(dialect) is None
