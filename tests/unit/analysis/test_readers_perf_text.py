"""`perf stat` for people: locales, units, scopes. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans, written

from analysis.errors import AnalysisError
from analysis.readers import read

TITLE = " Performance counter stats for 'synthetic':\n\n"


@pytest.mark.parametrize(
    ("count", "clock", "percent", "elapsed"),
    [
        ("44,847,565,198", "1,200.77", "50.02", "1.503724421"),
        ("44.847.565.198", "1.200,77", "50,02", "1,503724421"),
        ("44\u202f847\u202f565\u202f198", "1\u202f200,77", "50,02", "1,503724421"),
        ("44\u00a0847\u00a0565\u00a0198", "1\u00a0200,77", "50,02", "1,503724421"),
        ("44'847'565'198", "1'200.77", "50.02", "1.503724421"),
        ("44’847’565’198", "1’200.77", "50.02", "1.503724421"),
        ("44,84,75,65,198", "1,200.77", "50.02", "1.503724421"),
        ("44847565198", "1200.77", "50.02", "1.503724421"),
    ],
)
def test_locales(tmp_path: Path, count: str, clock: str, percent: str, elapsed: str) -> None:
    text = (
        f"{TITLE}  {count}      cycles:u      #    1.5 GHz      ({percent}%)\n"
        f"    {clock} msec task-clock       #    0.66 CPUs utilized\n\n"
        f"       {elapsed} seconds time elapsed\n"
    )
    table = parsed(tmp_path, text)
    value = 448475 * 100000 + 65198
    assert readings(table) == [("", "CPU_CYCLES", float(value), "ok", 50.02), ("", "task-clock", 1200.77, "ok", 100.0)]
    assert spans(table) == [(0.0, 1.503724421)] * 2


def test_scopes_and_variance(tmp_path: Path) -> None:
    text = (
        f"{TITLE}S0-D0-C0           2         1,000      cycles      #  1.0 GHz   ( +-  4.03% )  (66.67%)\n"
        "CPU3         2,000      cycles\n"
        "my thread-77         3,000      cycles                  ( +-  0.50% )\n"
        "S0        24   <not counted>      instructions                (0.00%)\n"
    )
    assert readings(parsed(tmp_path, text)) == [
        ("core:S0-D0-C0", "CPU_CYCLES", 1000.0, "ok", 66.67),
        ("cpu:3", "CPU_CYCLES", 2000.0, "ok", 100.0),
        ("thread:my thread-77", "CPU_CYCLES", 3000.0, "ok", 100.0),
        ("socket:S0", "INST_RETIRED", None, "not counted", 0.0),
    ]


def test_bracket_on_the_second_line_of_an_event(tmp_path: Path) -> None:
    text = (
        f"{TITLE}    1,000      instructions              #    1.54  insn per cycle\n"
        "                                          #    0.16  stalled cycles per insn  (50.84%)\n"
        "    2,000      cycles                                           \n"
    )
    assert [r[4] for r in readings(parsed(tmp_path, text))] == [50.84, 100.0]


@pytest.mark.parametrize("line", ["   12,34      cycles", "   hello      cycles", "   1,000", "   1,000   <b>"])
def test_malformed_text(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"{TITLE}    1,000      cycles\n{line}\n")
    with pytest.raises(AnalysisError) as caught:
        read(path)
    assert caught.value.row == 4
    assert len(read(path, lenient=True).frame) == 1


def test_two_runs_in_one_text(tmp_path: Path) -> None:
    table = parsed(tmp_path, f"{TITLE}    1,000      cycles\n{TITLE}    2,000      cycles\n")
    assert [[r[2] for r in readings(run)] for run in (table, *table.runs)] == [[1000.0], [2000.0]]


def test_rows_of_an_interval_that_do_not_repeat_its_time(tmp_path: Path) -> None:
    """Rows, and metrics on lines of their own; below the last interval the sums of all still are no interval."""
    interval = (
        "     {0}.000123456      3,000      cycles\n"
        "                      1,000      instructions              #    0.33  insn per cycle\n"
        "                                 TopdownL1                 #     42.9 %  backend_bound\n"
        "                                                           #     30.0 %  retiring\n"
    )
    text = "#           time             counts unit events\n" + interval.format(1) + interval.format(2)
    sums = "             6,000      cycles\n             2,000      instructions     #    0.33  insn per cycle\n"
    for table in (parsed(tmp_path, text), parsed(tmp_path, text + sums)):
        assert list(table.frame["start_s"]) == [0.0] * 4 + [1.000123456] * 4
        assert list(table.frame["value"]) == [3000.0, 1000.0, 42.9, 30.0] * 2
    assert any("2 summary row(s)" in note for note in table.notes)


def test_rows_that_somebody_took_out_of_a_table(tmp_path: Path) -> None:
    """Without blanks before them, prose above: rows of events that we know are perf's."""
    text = "Debug build:\n3,864,243      cycles:u\n1,864,243      stalled-cycles-backend:u  #   48.31% of cycles idle\n"
    table = parsed(tmp_path, text)
    assert [(event, value) for _, event, value, _, _ in readings(table)] == [
        ("CPU_CYCLES", 3864243.0),
        ("STALL_BACKEND", 1864243.0),
    ]
    with pytest.raises(AnalysisError, match="no known capture format"):
        parsed(tmp_path, "We sold:\n3,864,243      apples\n1,864,243      pears\n")


def test_lines_that_continue_one_of_a_cpu_are_of_that_cpu(tmp_path: Path) -> None:
    rows = "".join(
        f"CPU{cpu}       1,000,000      cpu_cycles                #     {70 + cpu}.0 %  backend_bound\n"
        f"                                          #      {5 + cpu}.0 %  frontend_bound\n"
        for cpu in (0, 1)
    )
    text = f" Performance counter stats for 'system wide':\n\n{rows}\n       1.0 seconds time elapsed\n"
    found = [(scope, event, value) for scope, event, value, *_ in readings(parsed(tmp_path, text))]
    assert found == [
        ("cpu:0", "CPU_CYCLES", 1e6),
        ("cpu:0", "metric:backend_bound", 70.0),
        ("cpu:0", "metric:frontend_bound", 5.0),
        ("cpu:1", "CPU_CYCLES", 1e6),
        ("cpu:1", "metric:backend_bound", 71.0),
        ("cpu:1", "metric:frontend_bound", 6.0),
    ]


@pytest.mark.parametrize(
    ("shown", "whole"), [("0.66 0.01 0.02 0.31", 1), ("66.0 % 1.0 % 2.0 % 31.0 %", 100), ("0.66", 0)]
)
def test_shares_of_slots_without_a_unit(tmp_path: Path, shown: str, whole: int) -> None:
    """Four that add up to 1 are fractions; one alone may be anything."""
    parts = shown.replace(" %", "%").split()
    names = ("backend_bound", "bad_speculation", "frontend_bound", "retiring")
    lines = [f"#  {part.replace('%', ' %')}  {name}\n" for part, name in zip(parts, names, strict=False)]
    table = parsed(tmp_path, f" Performance counter stats for 'x':\n\n  TopdownL1  {'                '.join(lines)}")
    found = dict(zip(table.frame["event"], table.frame["value"], strict=True))
    assert found["metric:backend_bound"] == pytest.approx(66.0 if whole else 0.66)
    assert set(table.frame["unit"]) == ({"%"} if whole else {""})


def test_tabs_between_columns_and_a_negative_ratio(tmp_path: Path) -> None:
    """As mails have them."""
    lines = ["After:", "", "  65,811\tarmv8_pmuv3_0/event=0x8/\t# 18.87 push_branch", "  \t\t# -40.19 other_branch"]
    text = "\n".join([*lines, "  3,564\tBR_MIS_PRED\t# 0.5 x", ""])
    found = readings(parsed(tmp_path, text))
    assert [row[1:3] for row in found if not row[1].startswith("metric:")] == [
        ("INST_RETIRED", 65811.0),
        ("BR_MIS_PRED", 3564.0),
    ]
    assert not any("other_branch" in row[1] for row in found)


def test_tables_without_titles_below_prose(tmp_path: Path) -> None:
    """As in the description of a change: one before it, one after."""
    rows = "     {n}      cycles    ( +-  0.10% )\n     {m}      stalled-cycles-backend\n\n  1.5 seconds time elapsed\n"
    text = "It swaps,\nas this code does:\n\n   int main(void) {\n      return 0;\n   }\n\nBefore:\n"
    text += (
        rows.format(n="1,000", m="300")
        + "  1.25 seconds user\n\nAfter:\n"
        + rows.format(n="900", m="200")
        + "\nBetter.\n"
    )
    first = parsed(tmp_path, text)
    (second,) = first.runs
    assert [row[2] for row in readings(first)] == [1000.0, 300.0]
    assert [row[2] for row in readings(second)] == [900.0, 200.0]
    assert (first.meta["user_s"], first.meta["elapsed_s"], "user_s" in second.meta) == (1.25, 1.5, False)
    with pytest.raises(AnalysisError, match="line 16: '9,00' is no number"):
        read(written(tmp_path, text.replace("     900 ", "     9,00 ")))
