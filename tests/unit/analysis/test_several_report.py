"""Three captures and more in one comparison (`reports.several_report`): known differences are told exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import synthetic_engines as engines
from analysis_commands import PNG, Run, write_tokens
from pages import Page

from analysis import compare
from analysis.changes import LETTERS, with_first
from analysis.judging import load
from analysis.reports import several_report
from analysis.reports.charts import Bars
from analysis.reports.compare_charts import seconds_by_operation
from analysis.reports.compare_tables import rates_of
from analysis.reports.model import Table
from analysis.reports.text import render

N_LAYERS = 3
CHANGES = {"attention": 7, "ffn_down": -5}
SLOWER = tuple((op, tensor, time + CHANGES.get(tensor or op, 0)) for op, tensor, time in engines.OURS)
THIRD = engines.LAYER | {"attention": (12, 12), "ffn_down": (28, 28)}


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Of ours, another engine, and ours with attention 7 us slower a layer and the last product 5 us faster."""
    third = engines.write(tmp_path / "synthetic-third.csv", SLOWER, ("gemv", "output.weight", engines.OUTPUT[0]))
    return [*engines.pair(tmp_path), third]


def microseconds(paths: list[Path]) -> dict[str, dict[str, float]]:
    found = seconds_by_operation(with_first([load(path) for path in paths]), "decode")
    return {letter: {name: 1e6 * time for name, time in times.items()} for letter, times in found.items()}


def test_every_column_is_told_exactly(three: list[Path]) -> None:
    found = microseconds(three)
    expected = {
        "A": {name: N_LAYERS * ours for name, (ours, _) in engines.LAYER.items()} | {"output": engines.OUTPUT[0]},
        "B": {name: N_LAYERS * theirs for name, (_, theirs) in engines.LAYER.items()} | {"output": engines.OUTPUT[1]},
        "C": {name: N_LAYERS * ours for name, (ours, _) in THIRD.items()} | {"output": engines.OUTPUT[0]},
    }
    assert set(found) == set(expected)
    for letter, times in expected.items():
        assert found[letter] == pytest.approx(times, rel=1e-9), letter


def test_another_order_has_the_same_columns(three: list[Path]) -> None:
    """Another first capture: the columns change their places, and differences from the old first their signs."""
    ours, theirs, third = three
    one, other = microseconds([ours, theirs, third]), microseconds([theirs, third, ours])
    assert (one["A"], one["B"], one["C"]) == (other["C"], other["A"], other["B"])
    forward = with_first([load(ours), load(theirs), load(third)])[0]
    back = with_first([load(theirs), load(third), load(ours)])[1]
    assert (forward.letter, back.letter) == ("B", "C")
    differences = {c.name: c.difference for c in forward.of("decode", "operation")}
    assert {c.name: -c.difference for c in back.of("decode", "operation")} == differences
    assert [c.has_changed for c in forward.of("decode", "speed")] == [c.has_changed for c in back.of("decode", "speed")]


def test_text_page_and_picture(three: list[Path], command: Run, tmp_path: Path) -> None:
    page, picture = tmp_path / "page.html", tmp_path / "picture.png"
    status, out, err = command(compare.main, *three, "--html", page, "--plot", picture)
    assert (status, err) == (0, "")
    words = " ".join(out.split())
    assert "synthetic-ours.csv, synthetic-theirs.csv, synthetic-third.csv" in words
    assert "engine: A -, B llama.cpp, C -" in words
    assert words.count("A does attn_q+attn_k+attn_v in one product") == 1
    assert "C less A: operations and waiting make 100.0 % of the difference" in words
    assert picture.read_bytes().startswith(PNG)
    times = next(table for table in Page(page.read_text()).tables if table[0][0].startswith("time per token"))
    assert times[-1][0] == "all together" and len(times) == len(engines.LAYER) + 3


def table_of(paths: list[Path]) -> Table:
    captures = [load(path) for path in paths]
    report = several_report.of_captures(captures, with_first(captures), True)
    return next(block for block in report.sections[-1].blocks if isinstance(block, Table))


def test_differences_and_their_shares(three: list[Path]) -> None:
    table = table_of(three)
    titles = [column.title for column in table.columns]
    assert titles[:4] == ["time per token, ms", "A", "B", "C"]
    assert titles[4:] == ["B less A", "of it", "C less A", "of it", "95 % sure"]
    rows: dict[Any, Any] = {row[0]: row[1:] for row in table.rows}
    assert rows["attention"][5:7] == pytest.approx([0.021, 100 * 7 / 2])  # 7 - 5 us a layer are the whole difference
    assert rows["ffn_down"][5:7] == pytest.approx([-0.015, -100 * 5 / 2])
    assert rows["attention"][7] == "B changed, C changed" and rows["output"][7] == "B changed, C same"
    assert rows["all together"][6] == 100 and rows["all together"][5] == pytest.approx(0.006)


def test_waterfalls_end_at_the_difference(three: list[Path]) -> None:
    captures = [load(path) for path in three]
    results = with_first(captures)
    charts = [row[0] for row in several_report.of_captures(captures, results, True).picture]
    stacks, *falls = charts
    assert isinstance(stacks, Bars) and [bar.label for bar in stacks.bars] == ["A", "B", "C"]
    for chart, result in zip(falls, results, strict=True):
        assert isinstance(chart, Bars) and chart.unit == f"ms a token, {result.letter} less A"
        (speed,) = result.of("decode", "speed")
        assert chart.bars[-1].end == pytest.approx(1e3 * speed.difference)


def test_what_captures_lack_is_said(three: list[Path], tmp_path: Path, command: Run) -> None:
    """One without operations, one with counters, one alike."""
    counted = write_tokens(tmp_path / "synthetic-counted.csv", 0.02, 0.5)
    status, out, err = command(compare.main, three[0], counted, three[0], "--all")
    words = " ".join(out.split())
    assert (status, err) == (0, "")
    assert "only in: A: times by operation (--per-op)" in words and "only in: B: event STALL_BACKEND_MEM" in words
    assert "(no change beyond noise)" in words
    again = json.loads(command(compare.main, three[0], counted, three[0], "--json")[1])
    assert [one["letter"] for one in again["comparisons"]] == ["B", "C"] and len(again["captures"]) == 3
    assert {c["kind"] for c in again["comparisons"][0]["changes"]} == {"speed"}
    slower = [write_tokens(tmp_path / f"synthetic-{n}.csv", 0.02 * n, 0.5 - 0.1 * n) for n in (1, 2, 3)]
    out = command(compare.main, *slower)[1]
    assert (
        "(200.0 % more)" in out
        and "none is shown to be faster than A" in out
        and "memory stalls / back-end stalls" in out
        and "Ratios" not in out
    )
    back = command(compare.main, *slower[::-1])[1]
    assert "fastest: C, 66.7 % less time a token than A" in " ".join(back.split())
    same = command(compare.main, slower[0], slower[0], slower[0])[1]
    assert "nothing changed beyond noise" in same


def test_bytes_and_speeds_of_operations_in_every_capture(three: list[Path]) -> None:
    table = rates_of(with_first([load(path) for path in three]), "decode")
    assert [column.title for column in table.columns][:4] == [
        "operation",
        "MB a token, A",
        "MB a token, B",
        "MB a token, C",
    ]
    rows: dict[Any, Any] = {row[0]: row[1:] for row in table.rows}
    assert rows["attn_output"][:3] == pytest.approx([2304e-6 * N_LAYERS] * 3)
    assert rows["attn_output"][3:] == pytest.approx([2304e-9 / 11e-6, 2304e-9 / 13e-6, 2304e-9 / 11e-6])


def test_how_many(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    for paths in (three[:1], [three[0]] * (len(LETTERS) + 1)):
        with pytest.raises(SystemExit) as caught:
            compare.main([str(path) for path in paths])
        assert caught.value.code == 2 and f"{len(paths)} captures, expected 2 to 26" in capsys.readouterr().err
    captures = [load(three[0])] * len(LETTERS)
    report = several_report.of_captures(captures, with_first(captures), False)
    said = " ".join(render(report, report.title).split())
    assert said.count("no change beyond noise") >= len(LETTERS) - 1
