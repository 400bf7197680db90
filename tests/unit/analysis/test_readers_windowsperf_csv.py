"""The file of `wperf stat -t`. All input is synthetic, laid out as the tool's own tests expect it."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, written

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.readers.windowsperf_csv import FORMAT

HEAD = "Multiplexing,{turns}\nKernel mode,{kernel}\nCount interval,1.00\nEvent class,core\n\n"
PLAIN = HEAD.format(turns="FALSE", kernel="TRUE") + "core 1,core 1,core 1,\ncycle,stall_backend,M@ipc,\n"


def test_windows_are_added_up(tmp_path: Path) -> None:
    table = parsed(tmp_path, PLAIN + "1000,400,1.5,\n3000,600,1.4,\n")
    assert table.meta["format"] == FORMAT
    assert readings(table) == [
        ("cpu:1", "CPU_CYCLES", 4000.0, "ok", 100.0),
        ("cpu:1", "STALL_BACKEND", 1000.0, "ok", 100.0),
    ]
    assert any("2 windows" in note for note in table.notes) and any("M@ipc" in note for note in table.notes)


def test_events_that_took_turns_in_user_space(tmp_path: Path) -> None:
    columns = "core 0,core 0,core 0,core 0,\ncycle,sched_times,stall_backend,sched_times,\n"
    table = parsed(tmp_path, HEAD.format(turns="TRUE", kernel="FALSE") + columns + "1000,20,100,5,\n")
    assert readings(table) == [
        ("cpu:0", "CPU_CYCLES", 1000.0, "ok", 100.0),
        ("cpu:0", "STALL_BACKEND", 400.0, "ok", 25.0),
    ]
    assert set(table.frame["source"]) == {"cycles:u", "stall_backend:u"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PLAIN + "1000,400,\n", "line 8: 2 counts, expected 3"),
        (PLAIN + "1000,-4,1,\n", "line 8: the count should be a number, found '-4'"),
        (PLAIN, "no counts in it"),
        (PLAIN.replace("core 1,core", "core 1,chip") + "1,1,1,\n", "expected a core above each event"),
        (PLAIN.replace("core 1,", "", 1) + "1,1,1,\n", "2 cores above 3 events"),
        (PLAIN.replace("class,core", "class,dsu") + "1,1,1,\n", "of the class dsu"),
        (PLAIN.replace("stall_backend", "<x>") + "1,1,1,\n", "'<x>' is no event name"),
        (PLAIN + "1,1" + ",1" * 5000, "line 8: more than 4096 columns"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(AnalysisError) as caught:
        read(written(tmp_path, text))
    assert reason in str(caught.value)


def test_more_turns_than_the_cycles_had(tmp_path: Path) -> None:
    columns = "core 0,core 0,core 0,core 0,\ncycle,sched_times,stall_backend,sched_times,\n"
    with pytest.raises(AnalysisError, match="stall_backend was counted 21 times of 20"):
        parsed(tmp_path, HEAD.format(turns="TRUE", kernel="TRUE") + columns + "1000,20,100,21,\n")
