"""Charts inside a page (`reports.svg`): both sizes, escaped, every mark with its value, nothing beyond its rim."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from sample_charts import BARS, EMPTY, LINES, STACKS

from analysis.reports import svg
from analysis.reports.charts import Axis, Chart, Kind, Plot, Series


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(svg.figure(chart))


@pytest.mark.parametrize("chart", [BARS, LINES, STACKS, EMPTY], ids=["bars", "lines", "stacks", "empty"])
def test_charts_are_well_formed_and_stay_within_their_rims(chart: Chart) -> None:
    figure = drawn(chart)
    pictures = figure.findall("svg")
    assert [picture.get("class") for picture in pictures] == ["chart narrow", "chart wide"]
    for picture in pictures:
        width, height = map(float, picture.get("viewBox", "").split()[2:])
        for text in picture.iter("text"):
            assert 0 <= float(text.get("x", "0")) <= width and 0 <= float(text.get("y", "0")) <= height
        for rect in picture.iter("rect"):
            left, room = float(rect.get("x", "0")), float(rect.get("width", "0"))
            assert left >= 0 and room > 0 and left + room <= width
        assert not re.search(r"nan|inf", ElementTree.tostring(picture, "unicode").split(">", 1)[1])


def test_everything_is_text() -> None:
    for chart in (BARS, LINES):
        assert {element.tag for element in drawn(chart).iter()} <= {
            "figure", "figcaption", "svg", "g", "path", "rect", "text", "title", "ul", "li", "i",
        }  # fmt: skip


def test_marks_have_their_values() -> None:
    tips = [title.text for title in drawn(LINES).find("svg").iter("title")]  # type: ignore[union-attr]
    assert tips == ["1", "2", "3", "span", "dot"]
    assert [title.text for title in drawn(STACKS).findall("svg")[0].iter("title")] == ["first", "second"]


def test_bars_have_numbers_where_they_fit() -> None:
    narrow, wide = drawn(BARS).findall("svg")
    for picture in (narrow, wide):
        inside = [
            (text.text or "").replace("\u00a0", " ") for text in picture.iter("text") if text.get("class") == "ink"
        ]
        assert inside == ["70 %"]
    words = [text.text or "" for text in narrow.iter("text")]
    assert "not measured" in words and any(word.endswith("…") for word in words)
    assert max(map(len, words)) * 6 < 340


def test_names_beside_points_do_not_lie_on_each_other() -> None:
    points = tuple((1.0, 10.0 + number / 100) for number in range(6))
    series = Series("a", "blue", points, Kind.DOTS, ("",) * 6, tuple(f"operation {n}" for n in range(6)))
    picture = drawn(Plot("t", Axis("x"), Axis("y"), (series,))).find("svg")
    assert picture is not None
    heights = sorted(float(text.get("y", "0")) for text in picture.iter("text") if text.get("class") == "beside")
    assert min(b - a for a, b in pairwise(heights)) >= 12


def test_legends_name_what_there_is_to_tell_apart() -> None:
    assert [item.find("svg") is not None for item in drawn(LINES).iter("li")] == [True] * 4
    assert [(item.find("i").get("class")) for item in drawn(STACKS).iter("li")] == [  # type: ignore[union-attr]
        "swatch blue",
        "swatch vermillion",
    ]
    assert list(drawn(EMPTY).iter("li")) == []
