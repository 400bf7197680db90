"""Dialects of `perf stat -x` that no recorded file shows. All rows are synthetic, in perf's documented order."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from capture_tables import parsed, readings, spans, written
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.readers import perf_csv, read
from analysis.readers.perf_csv import parse, sniff_separator
from analysis.readers.perf_csv_plain import plain
from analysis.readers.perf_rows import Malformed


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ":", "::", "!", "^", "~", "  "])
def test_any_separator(tmp_path: Path, separator: str) -> None:
    rows = [
        ["1200", "", "cycles", "5000", "66.67", "", ""],
        ["7.50", "msec", "task-clock", "7500000", "100.00", "1", "x"],
    ]
    table = parsed(tmp_path, "".join(separator.join(r) + "\n" for r in rows))
    assert readings(table) == [("", "CPU_CYCLES", 1200.0, "ok", 66.67), ("", "task-clock", 7.5, "ok", 100.0)]
    assert table.meta["separator"] == separator


def test_decimal_commas_need_another_separator() -> None:
    row = parse("     1,000200300;7,50;msec;task-clock;7500000;66,67;1,000;CPUs utilized", ";")
    assert row is not None
    assert (row.time_s, row.value, row.running) == (1.0002003, 7.5, 66.67 / 100)


@pytest.mark.parametrize(
    ("line", "event", "value"),
    [
        ("9,,armv8_pmuv3_0/event=0x4005,config1=1/,100,50.00,,", "armv8_pmuv3_0/event=0x4005,config1=1/", 9.0),
        (
            "9,,armv8_pmuv3_0/event=0x4005,config1=1/,1.50%,100,50.00,0.1,M/sec",
            "armv8_pmuv3_0/event=0x4005,config1=1/",
            9.0,
        ),
        ("     0.100200418,CPU3,9,,a/b=1,c=2,d=3/u,100,50.00,,", "a/b=1,c=2,d=3/u", 9.0),
        ("12345,cycles", "cycles", 12345.0),
        ("12345,,cycles", "cycles", 12345.0),
        ("12345,,cycles,100,50.00", "cycles", 12345.0),
    ],
)
def test_event_names_and_short_rows(line: str, event: str, value: float) -> None:
    row = parse(line, ",")
    assert row is not None
    assert (row.event, row.value) == (event, value)


@pytest.mark.parametrize(
    ("field", "scope"),
    [
        ("CPU12", "cpu:12"),
        ("S1-D0-C7,2", "core:S1-D0-C7"),
        ("S0-D0-L3-ID4,8", "cache:S0-D0-L3-ID4"),
        ("S0-D0-CLS1,4", "cluster:S0-D0-CLS1"),
        ("S1-D1,24", "die:S1-D1"),
        ("S1,48", "socket:S1"),
        ("N1,48", "node:N1"),
        ("ggml, worker-1234", "thread:ggml, worker-1234"),
        ("12-99", "thread:12-99"),
    ],
)
def test_scopes(field: str, scope: str) -> None:
    row = parse(f"{field},55,,cycles,100,100.00,,", ",")
    assert row is not None
    assert (row.scope, row.value, row.event) == (scope, 55.0, "cycles")


def test_row_of_a_second_metric_is_no_count() -> None:
    assert parse("     1.000200300,,,,,,,0.50,stalled cycles per insn", ",") is None
    assert parse("S0-D0-C0,,,,,,,0.50,stalled cycles per insn", ",") is None


def test_pmus_and_modifiers(tmp_path: Path) -> None:
    names = ["armv8_cortex_a76/cycles/", "armv8_cortex_a55/cycles/u", "instructions:ppp", "r24:k"]
    table = parsed(tmp_path, "".join(f"5,,{n},100,100.00,,\n" for n in names))
    found = list(zip(table.frame["pmu"], table.frame["event"], table.frame["source"], strict=True))
    assert found == [
        ("armv8_cortex_a76", "CPU_CYCLES", names[0]),
        ("armv8_cortex_a55", "CPU_CYCLES", names[1]),
        ("", "INST_RETIRED", names[2]),
        ("", "STALL_BACKEND", names[3]),
    ]
    assert table.pmus == ["armv8_cortex_a76", "armv8_cortex_a55"]


def test_generic_cache_misses_are_arms_only_on_arm(tmp_path: Path) -> None:
    on_arm = parsed(tmp_path, "5,,cache-misses,100,100.00,,\n")
    on_x86 = parsed(tmp_path, "5,,cache-misses,100,100.00,,\n6,,cpu_core/cycles/,100,100.00,,\n")
    assert on_arm.events == ["L1D_CACHE_REFILL"]
    assert on_x86.events == ["cache-misses", "CPU_CYCLES"]


def test_duration_time_is_the_duration(tmp_path: Path) -> None:
    table = parsed(tmp_path, "2000000000,ns,duration_time,2000000000,100.00,,\n5,,cycles,100,100.00,,\n")
    assert spans(table) == [(0.0, 2.0)] * 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("12x,,cycles,100,100.00,,", "expected a count or a scope, found '12x'"),
        ("12,,,100,100.00,,", "the event has no name"),
        ("12,,cycles,100,250.00,,", "percent running should be 0..100, found 250.00"),
        ("1e30,,cycles,100,100.00,,", "more than a 64-bit counter holds"),
        ("12,,cycles,abc,100.00,,", "no running time and percentage"),
        ("12", "expected a count"),
        ("12,,cycles,100", "no running time and percentage"),
        ("12,<b>,cycles,100,100.00,,", "is no unit"),
        ("S0-D0-C0,x,5,,cycles,100,100.00,,", "the count should be a number, found 'x'"),
    ],
)
def test_malformed_rows_name_file_line_and_reason(tmp_path: Path, line: str, reason: str) -> None:
    good = "5,,cycles,100,100.00,,\n"
    path = written(tmp_path, f"# started on a day\n{good}{line}\n{good}")
    with pytest.raises(AnalysisError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: line 3: ")
    assert reason in str(caught.value)
    table = read(path, lenient=True)
    assert len(table.frame) == 2
    assert any(n.startswith("1 malformed row(s) skipped; the first is line 3: ") for n in table.notes)


def test_time_that_goes_back_is_two_captures(tmp_path: Path) -> None:
    rows = "     2.000000000,5,,cycles,100,100.00,,\n     1.000000000,5,,cycles,100,100.00,,\n"
    with pytest.raises(AnalysisError, match="time goes back"):
        parsed(tmp_path, rows)


def big_capture(
    n_intervals: int, long_names: bool, scopes: tuple[str, ...], separator: str = ",", point: str = ".", end: str = "\n"
) -> str:
    events = ["cycles", "armv8_pmuv3_0/stall_backend/", "r4005", "task-clock"]
    if long_names:
        events += ["armv8_pmuv3_0/event=0x2a,config1=1/", "armv8_pmuv3_0/event=0x17,config1=1,period=5/"]
        if separator in ("|", "::", "%%", "!"):
            events.append(f"r17{separator}u{separator}k")
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


@given(st.text("0123456789 ,;.%-a\r\n", max_size=60))
def test_only_sure_decimal_commas_become_points(text: str) -> None:
    rows = plain(f"{text}\n".encode(), ";")
    if rows is None:
        return
    lines = f"{text}\n".replace("\r\n", "\n").splitlines()
    for before, after in zip(lines, rows.block.decode().splitlines(), strict=True):
        for old, new in zip(before.split(";"), after.split(";"), strict=True):
            pointed = old.replace(",", ".", 1) if perf_csv._is_decimal_comma(old) else old
            assert new in (old, pointed)
            if re.fullmatch(" *[0-9]+,[0-9]+", old):
                assert new == pointed


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


def test_a_separator_is_recognised_by_full_rows_only() -> None:
    assert sniff_separator(["name,age", "alice,31", "1,2"]) is None
    with pytest.raises(Malformed):
        parse("name,age", ",")
