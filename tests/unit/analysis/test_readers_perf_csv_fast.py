"""Large captures of `perf stat -x`, read in blocks: the same as line by line. All of them are synthetic."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from capture_tables import parsed, written

from analysis.errors import AnalysisError
from analysis.readers import perf_csv, perf_csv_fast, read


def big_capture(
    n_intervals: int, long_names: bool, scopes: tuple[str, ...], separator: str = ",", point: str = ".", end: str = "\n"
) -> str:
    events = ["cycles", "armv8_pmuv3_0/stall_backend/", "r4005", "task-clock"]
    if long_names:
        events += ["armv8_pmuv3_0/event=0x2a,config1=1/", "armv8_pmuv3_0/event=0x17,config1=1,period=5/"]
    lines = ["# started on a synthetic day", ""]
    for i in range(1, n_intervals + 1):
        for scope in scopes:
            for k, event in enumerate(events):
                value = str(123456789 * i % (7919 + k) * 1000003) if k != 3 else f"{i % 977}.{k}5"
                if (i * 7 + k) % 13 == 0:
                    value = "<not counted>" if k % 2 else "<not supported>"
                percent = "100.00" if k == 3 else f"{(i * 37 + k) % 10001 / 100:.2f}"
                unit = "msec" if event == "task-clock" else ""
                metric = ["0.25", "CPUs utilized"] if unit else ["", ""]
                numbers = [text.replace(".", point) for text in (f"{i / 100:16.9f}", value, percent, metric[0])]
                fields = [unit, event, str(i * 1000), numbers[2], numbers[3], metric[1]]
                lines.append(separator.join([numbers[0], scope + numbers[1], *fields]))
    return end.join(lines) + end


@pytest.mark.parametrize("long_names", [False, True])
@pytest.mark.parametrize("scopes", [("",), ("CPU0,", "CPU1,"), ("S0-D0-C0,2,",), ("ggml-77,", "a, b-78,")])
def test_blocks_give_what_lines_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long_names: bool, scopes: tuple[str, ...]
) -> None:
    capture = big_capture(800, long_names, scopes)
    is_plain = scopes[-1] != "a, b-78,"  # a thread's name that holds the separator is left to the careful parser
    equal_ways(written(tmp_path, capture), monkeypatch, is_plain)


@pytest.mark.parametrize("long_names", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("separator", "point"),
    [(",", "."), (";", "."), (";", ","), ("\t", ","), ("|", ","), ("::", "."), ("::", ","), ("%%", ","), ("!", ".")],
)
def test_blocks_of_every_dialect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separator: str, point: str, end: str, long_names: bool
) -> None:
    capture = big_capture(500, long_names, (f"CPU0{separator}", f"CPU1{separator}"), separator, point, end)
    equal_ways(written(tmp_path, capture), monkeypatch, True)


def equal_ways(path: Path, monkeypatch: pytest.MonkeyPatch, is_plain: bool) -> None:
    """The blocks give what the lines give, and a plain capture has no block that is read line by line."""
    by_lines: list[int] = []
    careful = perf_csv.add_lines
    monkeypatch.setattr(perf_csv, "add_lines", lambda *a: (by_lines.append(1), careful(*a)))
    fast = read(path)
    assert (not by_lines) is is_plain
    assert len(fast.frame) > 1000
    monkeypatch.setattr("analysis.readers.perf_csv_fast.SMALLEST_BLOCK", 1 << 40)
    slow = read(path)
    order = ["start_s", "scope", "source"]
    frames = [
        t.frame.astype(dict.fromkeys(("scope", "pmu", "event", "status", "unit", "group", "source"), str))
        for t in (fast, slow)
    ]
    first, second = (f.sort_values(order, kind="stable").reset_index(drop=True) for f in frames)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.parametrize(
    "bad",
    [
        "     8.010000000,12x,,cycles,1000,100.00,,",
        "     8.010000000,nan,,cycles,1000,100.00,,",
        "     8.010000000,-1,,cycles,1000,100.00,,",
        "     8.010000000,-2,,cycles,1000,100.00,,",
        "     8.010000000,1e400,,cycles,1000,100.00,,",
        "     8.010000000,5,,<i>cycles</i>,1000,100.00,,",
        "     8.010000000,5,,=cmd(),1000,100.00,,",
        "     8.010000000,5,,cycles,1000,101.50,,",
        "     8.010000000,5,,cycles,-7,100.00,,",
        "     8.010000000,5,,cycles,1000,nan,,",
        "     8.010000000,5,,cycles,,100.00,,",
        "     8.010000000,5,,cycles,1000,100.00,,,,,",
        "           8.01,5,,cycles,1000,100.00,,",
    ],
)
def test_blocks_refuse_what_lines_refuse(tmp_path: Path, bad: str) -> None:
    text = big_capture(800, False, ("",))
    path = written(tmp_path, text + bad + "\n")
    if bad.endswith(",,,,,"):  # more empty metric fields are no harm, on either way
        assert len(read(path).frame) == 3201
        return
    with pytest.raises(AnalysisError) as caught:
        read(path)
    assert caught.value.row == text.count("\n") + 1


def test_summary_after_a_large_capture(tmp_path: Path) -> None:
    text = big_capture(800, False, ("",)) + "         summary,77,,cycles,1000,100.00,,\n"
    table = parsed(tmp_path, text)
    assert len(table.frame) == 3200
    assert table.meta["summary"] == {"cycles": 77.0}


@pytest.mark.parametrize(
    ("row", "what"), [("5,,event_{n},100,100.00,,", "events"), ("t-{n},5,,r24,100,100.00,,", "scopes")]
)
def test_more_names_than_any_capture_has(tmp_path: Path, row: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(row.format(n=n) + "\n" for n in range(6000))
    monkeypatch.setattr(perf_csv_fast, "MOST_NAMES", 5999)
    with pytest.raises(AnalysisError, match=f"more than 5999 {what}"):
        parsed(tmp_path, text)
    monkeypatch.undo()
    assert len(parsed(tmp_path, text).frame) == 6000


def test_hundreds_of_long_names_are_columns_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In quotes or without; a spreadsheet quotes the names, which hold its separator."""
    names = [f"armv8_pmuv3_0/event=0x{n:x},config1=1/" for n in range(300)]
    rows = [f"{n // 300 + 1}.000000000,{n * 7},,{names[n % 300]},100,99.50,,\n" for n in range(3000)]
    plain = parsed(tmp_path, "".join(rows))
    quoted = parsed(tmp_path, "".join(row.replace(",arm", ',"arm').replace("1/,", '1/",') for row in rows))
    monkeypatch.setattr(perf_csv_fast, "add_block", lambda *_: False)
    careful = parsed(tmp_path, "".join(rows))
    assert plain.frame.astype(str).equals(careful.frame.astype(str))
    assert quoted.frame.astype(str).equals(careful.frame.astype(str))
