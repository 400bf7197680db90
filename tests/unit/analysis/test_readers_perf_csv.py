"""Dialects of `perf stat -x` that no recorded file shows. All rows are synthetic, in perf's documented order."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans, written

from analysis.errors import AnalysisError
from analysis.readers import read


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ":", "::", "!", "^", "~", "  "])
def test_any_separator(tmp_path: Path, separator: str) -> None:
    rows = [
        ["1200", "", "cycles", "5000", "66.67", "", ""],
        ["7.50", "msec", "task-clock", "7500000", "100.00", "1", "x"],
    ]
    table = parsed(tmp_path, "".join(separator.join(r) + "\n" for r in rows))
    assert readings(table) == [("", "CPU_CYCLES", 1200.0, "ok", 66.67), ("", "task-clock", 7.5, "ok", 100.0)]
    assert table.meta["separator"] == separator


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
    path = written(tmp_path, f"# started on a day\n{good}{line}\n{good.replace('cycles', 'instructions')}")
    with pytest.raises(AnalysisError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: line 3: ")
    assert reason in str(caught.value)
    table = read(path, lenient=True)
    assert len(table.frame) == 2
    assert any(n.startswith("1 malformed row(s) skipped; the first is line 3: ") for n in table.notes)


def test_time_that_goes_back_is_two_captures(tmp_path: Path) -> None:
    stamps = [1.0, 2.0, 3.0, 1.0, 2.0]
    table = parsed(tmp_path, "".join(f"     {t:.9f},5,,cycles,100,100.00,,\n" for t in stamps))
    assert [spans(run) for run in (table, *table.runs)] == [[(0, 1), (1, 2), (2, 3)], [(0, 1), (1, 2)]]
    assert [run.meta["run"] for run in (table, *table.runs)] == [1, 2]
    with pytest.raises(AnalysisError, match="time goes back from 3 to 2 s"):
        parsed(tmp_path, "".join(f"     {t:.9f},5,,cycles,100,100.00,,\n" for t in [1.0, 2.0, 3.0, 2.0]))


def test_rows_of_another_separator_are_no_output_of_a_program(tmp_path: Path) -> None:
    text = "5,,cycles,100,100.00,,\nhello; world\n6;;instructions;100;100.00;;\n"
    with pytest.raises(AnalysisError, match=r"line 3: a row with ';' between its fields, those above have ','"):
        read(written(tmp_path, text))
    table = read(written(tmp_path, text), lenient=True)
    assert readings(table) == [("", "CPU_CYCLES", 5.0, "ok", 100.0)] and any("line 3" in note for note in table.notes)


def test_colours_around_rows(tmp_path: Path) -> None:
    rows = [f"\x1b[3{n}m{n},,{event},100,100.00,,\x1b[0m\n" for n, event in ((5, "cycles"), (6, "instructions"))]
    wanted = [("", "CPU_CYCLES", 5.0, "ok", 100.0), ("", "INST_RETIRED", 6.0, "ok", 100.0)]
    assert readings(parsed(tmp_path, "".join(rows))) == wanted
