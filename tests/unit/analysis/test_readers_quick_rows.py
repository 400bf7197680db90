"""Rows that are taken quickly, by their shape (`perf_csv_shapes`, `perf_json_shapes`, `shapes`), by their words
(`usual_rows`) or many at once (`usual_runs`): tables, notes and errors are those of the careful parsers alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.readers import perf_csv, perf_json, perf_text, shapes, usual_rows, usual_runs
from analysis.readers.perf_csv_row import Dialect
from analysis.readers.perf_csv_shapes import shapes_of
from analysis.readers.perf_json_shapes import new_shapes
from analysis.readers.shapes import Shapes
from analysis.readers.source import Source
from analysis.table import Table


class Rows(NamedTuple):
    """first: what the file begins with. usual: rows that have a shape; others. by_words: of how many of the usual."""

    read: Callable[[Source], Table]
    first: str
    usual: tuple[str, ...]
    others: tuple[str, ...]
    by_words: int


CSV = Rows(
    perf_csv.read,
    "1.000123456,5,,cycles,100000000,{s},,",
    (
        "{t},{n},,cycles,100000000,{s},1.20,GHz",
        "{t},,,,,,{r},%  tma_backend_bound",
        "{t},,100000000,{s},,,,TopdownL1 (cpu_core)",
        "{t},{n},,cycles,/a/b{d},100000000,{s},{r},insn per cycle",
        "{t},{n},,cycles,{r}%,100000000,{s},{r},insn per cycle",
        "{t},CPU{d},{n},,r{d},100000000,{s},,",
        "{t},S0-D0-C{d},{d},{n},,cpu/event=0x24,c={d},{d}/,100000000,{s},{r},%  retiring",
        "{t},<not counted>,,cycles,10000000,{s},,",
        "{t},{r},msec,task-clock,{n},{s},{r},CPUs utilized",
    ),
    ("{n},,cycles,100000000,{s},{r},stalled  backend_cycles_idle", "a program's own line {n}"),
    4,
)
JSON = Rows(
    perf_json.read,
    '{{"interval" : {h}, "counter-value" : "5.000000", "unit" : "", "event" : "r4", "pcnt-running" : {s}}}',
    (
        '{{"interval" : {t}, "counter-value" : "{n}.000000", "unit" : "", "event" : "r{d}", "pcnt-running" : {s}}}',
        '{{"interval" : {t}, "cpu" : "{d}", "counter-value" : "{n}", "event" : "cycles", "event-runtime" : {n}}}',
        '{{"interval" : {t}, "counter-value" : {n}, "event" : "cycles", "variance" : {r}, "pcnt-running" : {s}}}',
        '{{"interval" : {t}, "counter-value" : "<not counted>", "event" : "cycles", "pcnt-running" : {s}}}',
        '{{"interval" : {t}, "counter-value" : "{n}", "event" : "cycles", "metric-value" : "{r}", '
        '"metric-unit" : "%  tma_retiring", "cgroup" : "a{d}"}},',
        '{{"interval" : {t}, "pcnt-running" : {s}, "metricgroup" : "TopdownL1 (cpu_core)"}}',
        '{{"interval" : {t}, "metricgroup" : "Default"}}',
        '{{"interval" : {t}, "metric-value" : "{r}", "metric-unit" : "%  tma_backend_bound"}}',
        '{{"interval" : {t}, "metric-value" : "{r}", "pcnt-running" : {s}, "metric-unit" : "%  tma_backend_bound"}}',
        '{{"metric-value" : "{r}", "metric-unit" : "CPUs utilized"}}',
        '{{"interval" : {t}, "GHz" : "{r}", "insn  per cycle" : "{r}", "branch-misses  of all branches" : "{s}"}}',
        '{{"interval" : {t}, "cpu" : "{d}", "counter-value" : "{n}.5", "unit" : "msec", "event" : "task-clock", '
        '"event-runtime" : 5, "pcnt-running" : {s}, "metric-value" : "{r}", "metric-unit" : "%  tma_retiring"}}',
    ),
    (
        '{{"interval" : {t}, "counter-value" : "0{n}", "event" : "cycles", "pcnt-running" : 0{s}}}',
        "a program's own line {n}",
        '{{"progress" : {n}}}',
    ),
    2,
)
TEXT = Rows(
    perf_text.read,
    "#           time             counts unit events",
    (
        "     {t}      {n}      cycles                    #    {r} GHz                      ({s}%)",
        "     {t} {n} r{d} # {r} GHz({s}%)",
        "     {t} CPU{d}       {n}      stalled-cycles-backend    #   {r}% backend cycles idle",
        "     {t} S0-D0-C{d}      2     {n}      r{d}    ( +- {s}% )   ({s}%)",
        "     {t}      {n}      cycles                    system.slice/a{d}   #   {r} insn per cycle",
        "     {t}      {n}      slots                     #     {r} %  tma_backend_bound    ({s}%)",
        "     {t}      {n}      instructions              #    {r} insn_per_cycle  ({s}%)",
        "     {t}      {n}      stalled-cycles-backend    #     {r} backend_cycles_idle",
        "     {t}      {r} msec task-clock              #     {r} CPUs utilized",
        "     {t}      {n} msec task-clock",
        "     {t}      {c} ns   duration_time",
        "     {t}      {c}      cycles:u                   (50.00%)",
    ),
    (
        "     {t}   <not counted>      cycles                                       ({s}%)",
        "     {n}      cycles  ({s}%)",
        "     {t}      TopdownL1                 #     {r} %  backend_bound",
        "     {t}                                #     {r} %  retiring         ({s}%)",
    ),
    7,
)
DIALECTS = {"csv": CSV, "json": JSON, "text": TEXT}
COUNTS = st.one_of(st.integers(0, 10**20), st.integers(0, 10**4))
CELLS = st.fixed_dictionaries(
    {
        "n": COUNTS.map(str),
        "c": COUNTS.map("{:,}".format),
        "r": st.builds("{:.{}f}".format, st.floats(0, 1000), st.sampled_from([0, 2, 6])),
        "s": st.builds("{:.2f}".format, st.floats(0, 104)),
        "d": st.integers(0, 12).map(str),
    }
)


def _read(path: Path, rows: Rows, lenient: bool) -> object:
    try:
        table = rows.read(Source(path, lenient))
    except AnalysisError as problem:
        return str(problem)
    return [(run.frame.to_csv(), repr(run.meta), run.notes) for run in [table, *table.runs]]


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data(), st.booleans(), st.sampled_from(["find", "by_words", "runs"]))
def test_the_careful_parser_says_the_same(
    tmp_path: Path, dialect: str, data: st.DataObject, lenient: bool, way: str
) -> None:
    rows = DIALECTS[dialect]
    point = "." if dialect == "text" else data.draw(st.sampled_from(".,"))
    kind = st.sampled_from([*rows.usual, *rows.others])
    lines = [rows.first.format(h=f"0{point}5", s=f"100{point}00")]
    for n, (row, cells) in enumerate(data.draw(st.lists(st.tuples(kind, CELLS), min_size=1, max_size=12))):
        spelled = {name: text.replace(".", point) for name, text in cells.items()}
        lines.append(row.format(t=f"{n // 4 + 1}{'.' if dialect == 'csv' else point}000123456", **spelled))
    path = tmp_path / "synthetic-capture"
    path.write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "SIGHTS", 1)
        patch.setattr(Shapes, "by_words" if way == "find" else "find", lambda self, line: None)
        if way == "runs":
            patch.setattr(usual_runs, "AT_ONCE", 5)
            patch.setattr(usual_runs, "FEWEST", 1)
            patch.setattr(usual_runs, "SHORTEST", 1)
        quick = _read(path, rows, lenient)
        patch.setattr(usual_runs, "FEWEST", 1 << 20)
        patch.setattr(Shapes, "find" if way == "find" else "by_words", lambda self, line: None)
        assert quick == _read(path, rows, lenient)


def _shapes(dialect: str, point: str) -> Shapes:
    if dialect == "csv":
        found = shapes_of(Dialect(",", comma=point == ","))
        assert found
        return found
    return new_shapes() if dialect == "json" else Shapes(lambda line: True)


@pytest.mark.parametrize(("dialect", "row"), [(name, row) for name in ("csv", "json") for row in DIALECTS[name].usual])
@pytest.mark.parametrize("point", [".", ","])
def test_usual_rows_have_a_shape(dialect: str, row: str, point: str) -> None:
    cells = {"n": "1234567", "r": f"12{point}34", "s": f"83{point}33", "d": "4"}
    found = _shapes(dialect, point)
    if dialect == "csv":
        row, point = row.replace("{r},%  ", "12,%  "), "."  # perf cuts a ratio's decimals off with their comma
    assert [found.find(row.format(t=f"1{point}000123456", **cells)) for _ in range(shapes.SIGHTS)][-1]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_most_usual_rows_are_known_by_their_words(dialect: str) -> None:
    found, rows = _shapes(dialect, "."), DIALECTS[dialect]
    cells = {"c": "1,234,567", "r": "12.34", "s": "83.33", "d": "4"}
    taken = [row for row in rows.usual if found.by_words(row.format(t="1.000123456", n="1234567", **cells))]
    assert len(taken) >= rows.by_words
    again = {"c": "7", "r": "0.00000", "s": "3.00", "d": "4"}
    assert all(found.by_words(row.format(t="20.500123456", n="89", **again)) for row in taken if "{r}" not in row)


def test_needless_zeros_are_for_the_careful_parser() -> None:
    found = new_shapes()
    assert not any(found.find(JSON.others[0].format(t="1.5", n="5", s="50.00")) for _ in range(shapes.SIGHTS + 1))


@pytest.mark.parametrize("dialect", [Dialect(";;"), Dialect("."), Dialect("%")])
def test_separators_of_which_numbers_hold_a_part_have_none(dialect: Dialect) -> None:
    assert shapes_of(dialect) is None
    assert usual_rows.of_csv(dialect.separator) is None


def test_a_comma_that_may_be_a_decimal_one_is_words() -> None:
    """Of a count with a unit: 1,234 is 1.234, and 1,234,567 is a million."""
    found = Shapes(lambda line: True)
    assert found.by_words("     1,234,567      msec task-clock")
    assert not found.by_words("     1,234      msec task-clock")
