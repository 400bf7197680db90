"""Markers files. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import written

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.readers.markers_file import read_markers


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x,1,1,a", "time_ns should be a whole number"),
        ("5,1", "2 fields, expected 4"),
        ("1,1,1,a", "time goes back"),
        ("99999999999999999999,1,1,a", "time_ns should be a whole number"),
    ],
)
def test_malformed_markers(tmp_path: Path, row: str, reason: str) -> None:
    path = written(tmp_path, f"time_ns,n_past,n_eval,phase\n1000,0,4,prefill\n{row}\n")
    with pytest.raises(AnalysisError, match=f"line 3: {reason}"):
        read(path)
    assert len(read_markers(path, lenient=True)) == 1


def test_blanks_of_every_kind_around_a_number(tmp_path: Path) -> None:
    path = written(tmp_path, "time_ns,n_past,n_eval,phase\n1000,0,4,prefill\n2000\x1f, 4,\u20031\x1f,decode\n")
    assert [(marker.n_past, marker.n_eval) for marker in read_markers(path)] == [(0, 4), (4, 1)]
