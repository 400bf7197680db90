"""`--metric-only` and `--topdown`, as text and as CSV (`perf_csv_metrics`). All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans, written

from analysis.errors import AnalysisError
from analysis.readers import perf_csv_metrics, read
from analysis.readers.perf_metric_columns import columns_of, is_value_line

TITLE = " Performance counter stats for 'system wide':\n\n"


def test_metric_only(tmp_path: Path) -> None:
    text = (
        f"{TITLE}                GHz       insn per cycle branch-misses of all branches \n"
        "                2.9                  1.2                 3.5% \n\n       1.001 seconds time elapsed\n"
    )
    with pytest.raises(AnalysisError, match="3 values below the names of 2 metrics"):
        read(written(tmp_path, text.replace("insn", "what")))  # names nobody knows, one blank apart
    assert readings(parsed(tmp_path, text)) == [
        ("", "metric:ghz", 2.9, "ok", None),
        ("", "metric:ipc", 1.2, "ok", None),
        ("", "metric:branch_misses_of_all_branches", 3.5, "ok", None),
    ]


def test_topdown_of_cores(tmp_path: Path) -> None:
    text = (
        f"{TITLE}                       retiring      bad speculation       frontend bound        backend bound\n"
        "S0-D0-C0           2                14.6%                 2.7%                12.5%                70.1%\n"
        "S0-D0-C1           2                  nan                 2.7%                12.5%                70.1%\n"
        "\n       1.001 seconds time elapsed\n"
    )
    found = readings(parsed(tmp_path, text))
    assert found[:4] == [
        ("core:S0-D0-C0", "metric:retiring", 14.6, "ok", None),
        ("core:S0-D0-C0", "metric:bad_speculation", 2.7, "ok", None),
        ("core:S0-D0-C0", "metric:frontend_bound", 12.5, "ok", None),
        ("core:S0-D0-C0", "metric:backend_bound", 70.1, "ok", None),
    ]
    assert len(found) == 7


def test_topdown_of_newer_perf_in_intervals(tmp_path: Path) -> None:
    text = (
        "#           time      %  tma_backend_bound      %  tma_retiring \n"
        "     1.000200300                      70.1                14.6 \n"
        "     2.000200300                      71.1                13.6 \n"
    )
    table = parsed(tmp_path, text)
    assert [r[1:3] for r in readings(table)] == [
        ("metric:backend_bound", 70.1),
        ("metric:retiring", 14.6),
        ("metric:backend_bound", 71.1),
        ("metric:retiring", 13.6),
    ]
    assert set(table.frame["unit"]) == {"%"}
    assert spans(table)[2] == (1.0002003, 2.0002003)


def test_csv(tmp_path: Path) -> None:
    text = "time,cpu,GHz,insn per cycle,%  tma_retiring,\n"
    text += "     1.000200300,CPU0,2.9,1.2,14.6,\n     1.000200300,CPU1,,0.9,8.5,\n"
    assert readings(parsed(tmp_path, text)) == [
        ("cpu:0", "metric:ghz", 2.9, "ok", None),
        ("cpu:0", "metric:ipc", 1.2, "ok", None),
        ("cpu:0", "metric:retiring", 14.6, "ok", None),
        ("cpu:1", "metric:ipc", 0.9, "ok", None),
        ("cpu:1", "metric:retiring", 8.5, "ok", None),
    ]
    assert readings(parsed(tmp_path, "GHz;insn per cycle;\n2,9;1,2;\n"))[0] == ("", "metric:ghz", 2.9, "ok", None)
    with pytest.raises(AnalysisError, match="line 3: expected 3 values"):
        read(written(tmp_path, text.replace("1.2,14.6,\n", "1.2,14.6,\n     1.000200300,CPU0,1\n", 1)))


def test_a_table_of_others_is_no_metric_only() -> None:
    assert perf_csv_metrics.header(["name,age", "alice,31"]) is None
    assert perf_csv_metrics.header(["GHz,insn per cycle", "2.9,x"]) is None
    assert columns_of("             counts unit events") is None
    assert not is_value_line("1.2  cycles")
