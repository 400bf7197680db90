"""Tables of WindowsPerf. All input is synthetic, laid out as the tool's documentation shows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from capture_tables import parsed, readings, written

from analysis.errors import AnalysisError
from analysis.readers import read, windowsperf_text

TITLE = "Performance counter stats for core {}, {}, kernel mode {}, on Arm Limited core implementation:\n"
NOTE = "note: 'e' - normal event, 'gN' - grouped event with group number N, metric name will be appended\n\n"
PLAIN = (
    "counting ... done\n\n" + TITLE.format(0, "no multiplexing", "included") + NOTE + "\n"
    "        counter value  event name         event idx  event note\n"
    "        =============  ==========         =========  ==========\n"
    "            7,408,075  cycle              fixed      e\n"
    "            2,271,166  stall_backend      0x24       g0,topdown\n"
    "            1,271,166  stall_backend_mem  0x4005     g0,topdown\n\n"
    "               2.281 seconds time elapsed\n"
)


def _of_core(core: int) -> str:
    return (
        TITLE.format(core, "multiplexed", "excluded") + NOTE + ""
        "        counter value  event name     event idx  event note  multiplexed  scaled value\n"
        "        =============  ==========     =========  ==========  ===========  ============\n"
        "            459768620  cycle          fixed      e                 10/10     459768620\n"
        "            345630022  stall_backend  0x24       e                  8/10     432037527\n\n"
    )


OVERALL = (
    "System-wide Overall:\n"
    "        counter value  event name     event idx  event note  scaled value\n"
    "        =============  ==========     =========  ==========  ============\n"
    "            919537240  cycle          fixed      e              919537240\n\n"
    "               1.134 seconds time elapsed\n"
)


def test_a_core(tmp_path: Path) -> None:
    table = parsed(tmp_path, PLAIN)
    assert table.meta["format"] == "windowsperf-text" and table.meta["elapsed_s"] == 2.281
    assert readings(table) == [
        ("cpu:0", "CPU_CYCLES", 7408075.0, "ok", 100.0),
        ("cpu:0", "STALL_BACKEND", 2271166.0, "ok", 100.0),
        ("cpu:0", "STALL_BACKEND_MEM", 1271166.0, "ok", 100.0),
    ]


def test_several_cores_whose_events_took_turns(tmp_path: Path) -> None:
    table = parsed(tmp_path, _of_core(0) + _of_core(6) + OVERALL)
    assert readings(table) == [
        (f"cpu:{core}", event, value, "ok", running)
        for core in (0, 6)
        for event, value, running in (("CPU_CYCLES", 459768620.0, 100.0), ("STALL_BACKEND", 432037527.0, 80.0))
    ]
    assert set(table.frame["source"]) == {"cycles:u", "stall_backend:u"}


def test_usual_rows_are_read_as_those_that_take_care(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PLAIN + _of_core(3).replace("8/10", "0/10").replace("10/10", "0/0") + _of_core(4) + OVERALL
    at_once = parsed(tmp_path, text)
    monkeypatch.setattr(windowsperf_text, "_usual", lambda *_: None)
    one_by_one = parsed(tmp_path, text)
    pd.testing.assert_frame_equal(at_once.frame, one_by_one.frame)
    assert at_once.meta == one_by_one.meta and len(at_once.frame) == 7


@pytest.mark.parametrize(
    "wrong", ["2,271,166  stall_backend", "2,27,66  stall_backend  0x24  e", "5  x  0x1  e  9/8  6"]
)
def test_rows_that_are_wrong(tmp_path: Path, wrong: str) -> None:
    rows = PLAIN.replace("2,271,166  stall_backend      0x24       g0,topdown", wrong)
    with pytest.raises(AnalysisError, match="line 10: "):
        read(written(tmp_path, rows))


def test_its_json_is_named(tmp_path: Path) -> None:
    text = '{"core": {\n"0":{"Performance_counter":[{"counter_value":"6062425","event_name":"cycle"}]}\n}\n}\n'
    with pytest.raises(AnalysisError, match="an answer of WindowsPerf as JSON"):
        read(written(tmp_path, text))


def test_a_table_alone_and_one_of_another_part(tmp_path: Path) -> None:
    alone = "".join(PLAIN.splitlines(keepends=True)[6:11])
    assert [scope for scope, *_ in readings(parsed(tmp_path, alone))] == [""] * 3
    other = alone.replace("7,408,075", "9,408,075")
    text = PLAIN + "Performance counter stats for DSU cluster 0, no multiplexing:\n" + other
    assert len(readings(parsed(tmp_path, text))) == 3
