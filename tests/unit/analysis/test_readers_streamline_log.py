"""Streamline's log and its place beside the timeline. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import written

from analysis.errors import AnalysisError
from analysis.phase import Marker
from analysis.readers import csv_rows, read, streamline_log

TIMELINE = (
    "Index (s),Cycles:CPU Cycles [0],Cycles:CPU Cycles [1],"
    "Stalls:Backend (Memory Stall Cycles) [0],CPU Activity:User [0]\n"
    "0.000,1000,2000,300,55.0\n"
    "0.001,1100,,310,54.0\n"
    "0.002,1200,2200,320\n"
)
LOG = (
    "synthetic log\n\nWhen (s),Message,Channel,Core\n"
    '0.0005,"past 0, n_eval 512",Markers,0\n'
    "0.0008,something else,Markers,0\n"
    '1:02.500,"past 512, n_eval 1",Markers,0\n'
)


def test_log_beside_the_timeline_and_folder(tmp_path: Path) -> None:
    written(tmp_path, TIMELINE, "timeline.csv")
    written(tmp_path, LOG, "log.csv")
    table = read(tmp_path)
    assert table.markers == [Marker(0.0005, 0, 512), Marker(62.5, 512, 1)]
    assert "1 annotation(s) of 3 in log.csv are no markers of decode calls" in table.notes
    assert read(tmp_path / "log.csv").markers == table.markers


def test_broken_log_names_both_files(tmp_path: Path) -> None:
    written(tmp_path, TIMELINE, "timeline.csv")
    written(tmp_path, LOG + "soon,past\n", "log.csv")
    with pytest.raises(AnalysisError, match=r"timeline\.csv: its log cannot be read: .*log\.csv: line 7: When"):
        read(tmp_path)


@pytest.mark.parametrize(
    "rows",
    [
        '0:00.5,"past 0, n_eval 8",a\n1:00:01,"past 8, n_eval 1",a\n0:59.25,"past 9, n_eval 1",a\n',
        '0.5,"past 0, n_eval 8",a\n1,"past 8, n_eval 1",a\n2.5,"so past 9, n_eval 1.",a\n3,past 9,a\n',
        '0.5,"past 0, n_eval 8",a\n0:01.0,"past 8, n_eval 1",a\n',
        '0.5," past 0, n_eval 8 ",a\n-0,"past 8, n_eval 1",a\n',
    ],
)
def test_rows_taken_many_at_once_are_those_taken_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str
) -> None:
    path = written(tmp_path, "When (s),Message,Channel\n" + rows)
    at_once = read(path)
    monkeypatch.setattr(csv_rows, "_columns", lambda _: [])
    one_by_one = read(path)
    assert at_once.markers == one_by_one.markers and at_once.notes == one_by_one.notes


def test_more_annotations_than_any_log_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamline_log, "MOST_MESSAGES", 3)
    path = written(tmp_path, "When (s),Message\n" + "1,a\n" * 4)
    with pytest.raises(AnalysisError, match="line 5: more than 3 annotations"):
        read(path)
