"""The markers file: what a reader finds in it, also while it is being written."""

import csv

import pytest

from annotate import MarkerFile


def test_rows_are_on_disk_as_soon_as_they_are_written(tmp_path):
    path = tmp_path / "markers.csv"
    path.write_text("earlier")
    with MarkerFile(path) as markers:
        assert path.read_text() == "earlier"
        markers.write(1386514195022, 0, 512, "prefill")
        assert path.read_text().splitlines() == ["time_ns,n_past,n_eval,phase", "1386514195022,0,512,prefill"]
        markers.write(1386514195023, 512, 1, 'odd, "phase"')
        markers.close()
    with path.open(newline="") as file:
        assert [list(row.values()) for row in csv.DictReader(file)] == [
            ["1386514195022", "0", "512", "prefill"],
            ["1386514195023", "512", "1", 'odd, "phase"'],
        ]


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="absent"):
        MarkerFile(tmp_path / "absent" / "markers.csv")
