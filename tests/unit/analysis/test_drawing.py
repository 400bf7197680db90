"""A report as a picture (`reports.drawing`): the same cards and charts as the page, the same bytes each time."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from analysis_commands import PNG
from sample_charts import BARS, EMPTY, LINES, STACKS

from analysis import palette
from analysis.judging import Capture
from analysis.reports import capture_report, drawing, timeline_report
from analysis.reports.charts import Chart
from analysis.reports.model import Card, Report


def report(*charts: Chart, cards: int = 2) -> Report:
    card = Card("decode $x$", "50.0 tokens/s", "memory-bound", "high", "much is read " * 30, "read less", "violet")
    rows = [charts[at : at + 2] for at in range(0, len(charts), 2)]
    return Report("a $title$", "a kind", [], [], [card] * cards, [], warnings=["EMULATED"], picture=rows)


def texts(svg: bytes) -> str:
    """The texts of a picture: matplotlib writes each as a comment beside its outlines."""
    return svg.decode()


@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_same_report_gives_the_same_bytes(form: str) -> None:
    one, other = (drawing.picture(report(BARS, STACKS, LINES, EMPTY), form) for _ in range(2))
    assert one == other
    if form == "png":
        assert one.startswith(PNG)
    else:
        ElementTree.fromstring(one)


def test_cards_charts_and_remarks_are_there() -> None:
    drawn = texts(drawing.picture(report(BARS, STACKS, LINES, EMPTY), "svg"))
    for expected in (
        "a $title$: a kind",
        "memory-bound (high confidence)",
        "Next: read less",
        "EMULATED",
        "not measured",
        "no roof: nothing was measured",
        "nothing was counted",
        "waiting",
        "70 %",
    ):
        assert expected in drawn
    assert palette.colour("violet").lower() in drawn.lower()


@pytest.mark.parametrize("cards", [0, 1, 5, 9])
def test_any_number_of_cards(cards: int) -> None:
    drawn = texts(drawing.picture(report(BARS, cards=cards), "svg"))
    assert drawn.count("memory-bound (high confidence)") == min(cards, 6)


def test_pictures_say_what_the_report_says(counted: Capture) -> None:
    for made in (capture_report.of_capture(counted), timeline_report.of_capture(counted)):
        drawn = texts(drawing.picture(made, "svg"))
        for card in made.cards:
            assert f"{card.title}  {card.speed}" in drawn and f"{card.verdict} ({card.confidence} confidence)" in drawn
        assert "memory stalls" in drawn
