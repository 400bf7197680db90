"""Streamline's log and its place beside the timeline. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import written

from analysis.errors import AnalysisError
from analysis.phase import Marker
from analysis.readers import read

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
