"""The report of functions (`reports.functions_report`): one hue a function, nothing lost behind the largest ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis_commands import Run
from pages import Page

from analysis import functions, palette
from analysis.function_shares import Share
from analysis.reports import functions_report, text
from analysis.reports.charts import Bars
from analysis.reports.model import Report, Table

PATH = Path("synthetic-script.txt")


def share(phase: str, symbol: str, part: float, event: str = "cpu-clock", samples: int | None = None) -> Share:
    return Share(phase, event, symbol, "/lib/native.so", part, 1e9 * part, samples)


def bars(report: Report) -> Bars:
    (chart,) = report.sections[0].blocks
    assert isinstance(chart, Bars)
    return chart


def test_a_function_has_one_hue_in_all_phases() -> None:
    found = [share("prefill", "gemm", 0.9), share("prefill", "rope", 0.1), share("decode", "gemv", 0.8)]
    report = functions_report.of_shares(PATH, [*found, share("decode", "rope", 0.2)], [], 15)
    hues = [{part.name: part.hue for part in bar.parts} for bar in bars(report).bars]
    assert [set(one) for one in hues] == [{"gemm", "rope"}, {"gemv", "rope"}]
    assert hues[0]["rope"] == hues[1]["rope"] and len({*hues[0].values(), *hues[1].values()}) == 3
    assert (hues[0]["gemm"], hues[1]["gemv"]) == (palette.OPERATIONS["gemm"], palette.OPERATIONS["gemv"])
    assert [card.line for card in report.cards] == [
        "prefill  90.0 % in gemm: by cpu-clock, then rope 10.0 %",
        "decode  80.0 % in gemv: by cpu-clock, then rope 20.0 %",
    ]


@pytest.mark.parametrize("number", [1, 8, 9, 40])
def test_bars_are_as_long_as_all_functions_together(number: int) -> None:
    found = [share("all", f"f{n}", 1 / number, samples=3) for n in range(number)]
    (bar,) = bars(functions_report.of_shares(PATH, found, [], 15)).bars
    assert bar.total == pytest.approx(100) and bar.note == f"{3 * number} samples"
    assert (bar.parts[-1].hue == palette.OTHER) == (number > 8)


def test_the_text_has_the_largest_and_the_sum_of_the_others() -> None:
    found = [share("all", f"f{n}", 0.2, samples=2) for n in range(5)]
    report = functions_report.of_shares(PATH, found, ["a note"], 3)
    (table,) = (block for section in report.sections for block in section.blocks if isinstance(block, Table))
    assert table.shown()[2:] == [["f2", "20.00 %", "2", "native.so"], ["2 more functions", "40.00 %", "4", ""]]
    shown = text.render(report, "synthetic-script.txt")
    assert "  note: a note\n" in shown and "\nall, by cpu-clock, 10 samples\n" in shown


def test_a_chart_an_event_and_not_more_bars_than_one_can_read() -> None:
    found = [share(f"turn {n}", "gemv", 1.0, event) for event in ("cycles", "refills") for n in range(30)]
    report = functions_report.of_shares(PATH, found, [], 15)
    charts = [block for block in report.sections[0].blocks if isinstance(block, Bars)]
    assert [len(chart.bars) for chart in charts] == [24, 24] and len(report.cards) == 30
    assert charts[0].title == "Functions by cycles, first 24 phases" and len(report.sections) == 61


def test_page_and_picture(tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic-script.txt"
    path.write_text("q4engine  7  10.1:  250000 cpu-clock:  7f00 <b>evil</b>$x$+0x10 (/lib/x.so)\n")
    page, picture = tmp_path / "page.html", tmp_path / "picture.png"
    assert command(functions.main, path, "--html", page, "--plot", picture)[0] == 0
    shown = Page(page.read_text(encoding="utf-8"))
    shown.check_harmless()
    assert "<b>evil</b>$x$" in shown.text and "100.0 % in" in shown.text
    assert picture.read_bytes().startswith(b"\x89PNG")
