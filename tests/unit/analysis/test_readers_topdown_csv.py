"""Arm's topdown-tool, its CSV forms. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans

from analysis.errors import AnalysisError
from analysis.readers import topdown_csv


def test_topdown_metrics(tmp_path: Path) -> None:
    text = (
        "time,group,stage,level,metric,value,units\n"
        "0.10,Topdown_L1,1,1,Retiring,17.02,%\n"
        "0.10,Topdown_L1,1,1,Backend Bound,,%\n"
        "0.25,Topdown_L1,1,1,Retiring,20.5,%\n"
    )
    table = parsed(tmp_path, text)
    assert readings(table) == [
        ("", "metric:retiring", 17.02, "ok", None),
        ("", "metric:backend_bound", None, "not counted", 0.0),
        ("", "metric:retiring", 20.5, "ok", None),
    ]
    assert spans(table) == [(0.0, 0.1), (0.0, 0.1), (0.1, 0.25)]
    assert set(table.frame["unit"]) == {"%"}


def test_topdown_events(tmp_path: Path) -> None:
    table = parsed(tmp_path, "run,time,event,value\n1,,instructions,800440\n1,,stall_backend,\n")
    assert readings(table) == [
        ("", "INST_RETIRED", 800440.0, "ok", None),
        ("", "STALL_BACKEND", None, "not counted", 0.0),
    ]


def test_topdown_runs_are_not_mixed(tmp_path: Path) -> None:
    table = parsed(tmp_path, "run,time,event,value\n1,,instructions,800440\n2,,cycles,5\n")
    assert table.notes == ["counted in 2 runs of the program, other events in each"]
    with pytest.raises(AnalysisError, match="line 3: holds several runs"):
        parsed(tmp_path, "run,time,event,value\n1,,instructions,800440\n2,,instructions,5\n")


@pytest.mark.parametrize("row", ["1,,instructions", "1,,instructions,x", "1,-1,instructions,5", "1,,instructions,-5"])
def test_malformed_topdown(tmp_path: Path, row: str) -> None:
    with pytest.raises(AnalysisError, match="line 3: "):
        parsed(tmp_path, f"run,time,event,value\n1,,cycles,5\n{row}\n")


ROWS = {
    "counted in runs": ("run,time,event,value", ("1,{t},instructions,80", "1,{t},cycles,", "2,{t},stall_backend,5.5")),
    "metrics": ("time,group,metric,value,units", ("{t},g,Backend Bound,-1.5,%", '{t},g,"L1I, misses",2,MPKI')),
    "of CPUs": ("cpu,time,event,value", ("0,{t},cycles,7", "1,{t},cycles,")),
    "without times": ("run,time,event,value", ("1,,cycles,7", "1,,r24,")),
    "times in some": ("run,time,event,value", ("1,{t},cycles,7", "1,,r24,9")),
    "a run too many": ("run,time,event,value", ("1,{t},cycles,7", "2,{t},cycles,8")),
    "a negative count": ("run,time,event,value", ("1,{t},cycles,7", "1,{t},r24,-8")),
    "a number that is none": ("run,time,event,value", ("1,{t},cycles,7", "1,{t},r24,8x")),
}


@pytest.mark.parametrize("kind", ROWS)
def test_rows_taken_at_once_are_those_taken_alone(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    header, rows = ROWS[kind]
    text = header + "\n" + "".join(row.format(t=f"{t / 10}") + "\n" for t in range(1, 9) for row in rows)

    def outcome() -> object:
        try:
            table = parsed(tmp_path, text)
        except AnalysisError as problem:
            return str(problem)
        return readings(table), spans(table), [*table.frame["unit"]], table.notes, table.meta

    at_once = outcome()
    monkeypatch.setattr(topdown_csv._Rows, "take", lambda *_: False)
    assert repr(outcome()) == repr(at_once)
