"""Runs of one file apart, and rows that belong to no run. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans, written

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.table import Table


def values(table: Table) -> list[list[float | None]]:
    return [[r[2] for r in readings(run)] for run in (table, *table.runs)]


def csv(*counts: int) -> str:
    return "".join(f"{n},,{e},1000,100.00,,\n" for n, e in zip(counts, ("cycles", "instructions"), strict=False))


def test_appended_csv(tmp_path: Path) -> None:
    """`perf stat --append -o FILE` begins each run with its date."""
    text = f"# started on Mon\n\n{csv(1, 2)}# started on Tue\n\n{csv(3, 4)}# started on Wed\n\n{csv(5, 6)}"
    table = parsed(tmp_path, text)
    assert values(table) == [[1, 2], [3, 4], [5, 6]]
    assert [run.meta["started"] for run in (table, *table.runs)] == ["Mon", "Tue", "Wed"]


def test_runs_without_a_line_between(tmp_path: Path) -> None:
    """`perf stat -x, … 2>> FILE`: the same rows from the first on."""
    assert values(parsed(tmp_path, csv(1, 2) + csv(3, 4))) == [[1, 2], [3, 4]]
    jsons = "".join(
        f'{{"counter-value" : "{n}", "event" : "{e}", "event-runtime" : 5, "pcnt-running" : 100.00}}\n'
        for n, e in ((1, "cycles"), (2, "instructions"), (3, "cycles"), (4, "instructions"))
    )
    assert values(parsed(tmp_path, jsons)) == [[1, 2], [3, 4]]


def test_appended_text_has_times_of_its_own(tmp_path: Path) -> None:
    run = " Performance counter stats for '{}':\n\n   {}      cycles\n\n     {} seconds time elapsed\n\n"
    table = parsed(tmp_path, run.format("a", 1, "1.5") + run.format("b", 2, "2.5") + "Some events weren't counted.\n")
    assert values(table) == [[1], [2]]
    assert [(t.meta["target"], spans(t)) for t in (table, *table.runs)] == [("a", [(0, 1.5)]), ("b", [(0, 2.5)])]
    assert "1 line(s) around perf's table skipped" in table.notes


def test_appended_intervals(tmp_path: Path) -> None:
    rows = "".join(f"     {t:.9f},{n},,cycles,1000,100.00,,\n" for t, n in ((1, 1), (2, 2), (1.1, 3), (2.1, 4)))
    table = parsed(tmp_path, rows)
    assert values(table) == [[1, 2], [3, 4]]
    assert spans(table.runs[0]) == [(0, 1.1), (1.1, 2.1)]


def test_rows_with_and_without_time(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="rows with and without a time are mixed"):
        read(written(tmp_path, csv(1) + "     1.000000000,5,,instructions,1000,100.00,,\n"))


def test_x86_by_the_names_of_its_topdown(tmp_path: Path) -> None:
    names = "           retiring      bad speculation       frontend bound        backend bound\n"
    text = (
        f"#           time core cpus{names}     1.000105678 S0-D0-C0           2      20.0%    5.1%   15.2%   59.7%\n"
    )
    assert parsed(tmp_path, text).meta["arch"] == "x86_64"
    assert "arch" not in parsed(tmp_path, text.replace("d spec", "d_spec").replace("d bound", "d_bound")).meta


def test_x86_by_its_metrics(tmp_path: Path) -> None:
    text = csv(1) + ",1000,100.00,,,,TopdownL1\n,,,,,70.1,%  tma_backend_bound\n"
    assert parsed(tmp_path, text).meta["arch"] == "x86_64"


@pytest.mark.parametrize(
    "event", ["ls_dispatch.ld_dispatch", "ex_ret_ops:u", "l2_cache_req_stat.ls_rd_blk_c", "idq.mite_uops"]
)
def test_x86_by_its_events(tmp_path: Path, event: str) -> None:
    table = parsed(tmp_path, f"5,,cache-misses,1000,100.00,,\n7,,{event},1000,100.00,,\n")
    assert table.meta["arch"] == "x86_64" and "cache-misses" in table.events
    assert (
        "arch" not in parsed(tmp_path, f"5,,cache-misses,1000,100.00,,\n7,,armv8_pmuv3_0/{event}/,1000,100.00,,\n").meta
    )


HYBRID = {
    "text": " Performance counter stats for 'x':\n\n  1,000 cpu_core/cycles/\n"
    "  TopdownL1 (cpu_core)   #  12.2 %  tma_backend_bound\n                 #  8.1 %  tma_retiring\n"
    "  TopdownL1 (cpu_atom)   #  42.2 %  tma_backend_bound  (34.10%)\n\n  1.5 seconds time elapsed\n",
    "csv": "1000,,cpu_core/cycles/,100,100.00,,\n,100,100.00,,,,TopdownL1 (cpu_core)\n,,,,,12.2,%  tma_backend_bound\n"
    ",,,,,8.1,%  tma_retiring\n,100,34.10,,,,TopdownL1 (cpu_atom)\n,,,,,42.2,%  tma_backend_bound\n",
    "json": '{"counter-value" : "1000", "event" : "cpu_core/cycles/", "event-runtime" : 1, "pcnt-running" : 100.00}\n'
    '{"event-runtime" : 1, "pcnt-running" : 100.00, "metricgroup" : "TopdownL1 (cpu_core)"}\n'
    '{"metric-value" : "12.2", "metric-unit" : "%  tma_backend_bound"}\n'
    '{"metric-value" : "8.1", "metric-unit" : "%  tma_retiring"}\n'
    '{"event-runtime" : 1, "pcnt-running" : 34.10, "metricgroup" : "TopdownL1 (cpu_atom)"}\n'
    '{"metric-value" : "42.2", "metric-unit" : "%  tma_backend_bound"}\n',
}


@pytest.mark.parametrize("form", HYBRID)
def test_groups_of_metrics_on_machines_with_two_kinds_of_cores(tmp_path: Path, form: str) -> None:
    frame = parsed(tmp_path, HYBRID[form]).frame
    found = list(zip(*(frame[name] for name in ("pmu", "event", "value", "running")), strict=True))
    assert found == [
        ("cpu_core", "CPU_CYCLES", 1000.0, 1.0),
        ("cpu_core", "metric:backend_bound", 12.2, 1.0),
        ("cpu_core", "metric:retiring", 8.1, 1.0),
        ("cpu_atom", "metric:backend_bound", 42.2, pytest.approx(0.341)),
    ]


def test_what_the_program_prints_between_rows(tmp_path: Path) -> None:
    table = parsed(tmp_path, "load time = 5 ms\nHello, 2 worlds, 3\n" + csv(1, 2) + "bye, 3\n")
    assert values(table) == [[1, 2]]
    assert table.notes == ["3 line(s) around perf's table skipped"]
