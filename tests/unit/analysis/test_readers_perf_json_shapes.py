"""Records of `perf stat -j` by their shape: tables, notes and errors are those of the careful parser alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.readers import perf_json, shapes
from analysis.readers.perf_json_shapes import new_shapes
from analysis.readers.shapes import Shapes
from analysis.readers.source import Source

ROWS = [
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
    '{{"interval" : {t}, "counter-value" : "0{n}", "event" : "cycles", "pcnt-running" : 0{s}}}',
    "a program's own line {n}",
    '{{"progress" : {n}}}',
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
        table = perf_json.read(Source(path, lenient))
    except AnalysisError as problem:
        return str(problem)
    return [(run.frame.to_csv(), repr(run.meta), run.notes) for run in [table, *table.runs]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ROWS), CELLS), min_size=1, max_size=12), st.booleans(), st.sampled_from(".,"))
def test_the_careful_parser_says_the_same(
    tmp_path: Path, rows: list[tuple[str, dict[str, str]]], lenient: bool, point: str
) -> None:
    path = tmp_path / "capture.json"
    lines = [ROWS[0].format(t=f"0{point}5", n="5", d="4", s="100.00")]
    for n, (row, cells) in enumerate(rows):
        spelled = {name: text.replace(".", point) for name, text in cells.items()}
        lines.append(row.format(t=f"{n // 4 + 1}{point}000123456", **spelled))
    path.write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "SIGHTS", 1)
        quick = _read(path, lenient)
        patch.setattr(Shapes, "find", lambda self, line: None)
        assert quick == _read(path, lenient)


@pytest.mark.parametrize("row", ROWS[:11])
@pytest.mark.parametrize("point", [".", ","])
def test_perfs_records_have_a_shape(row: str, point: str) -> None:
    cells = {"n": "1234567", "r": f"12{point}34", "s": f"83{point}33", "d": "4"}
    found = new_shapes()
    assert [found.find(row.format(t=f"1{point}000123456", **cells)) for _ in range(shapes.SIGHTS)][-1]


def test_needless_zeros_are_for_the_careful_parser() -> None:
    found = new_shapes()
    assert not any(found.find(ROWS[11].format(t="1.5", n="5", s="50.00")) for _ in range(shapes.SIGHTS + 1))
