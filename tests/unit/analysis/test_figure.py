"""What all pictures share (`reports.figure`)."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from analysis_commands import PNG

from analysis.reports import figure


def test_names_of_a_capture_are_no_formulas() -> None:
    assert figure.label("a$b$\x1b") == r"a\$b\$\x1b"
    assert figure.form_of(Path("a.SVG")) == "svg" and figure.form_of(Path("a")) == "png"


@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_same_figure_gives_the_same_bytes(form: str) -> None:
    def picture() -> bytes:
        drawn = figure.figure(2.0, 1.5)
        axes = drawn.subplots()
        axes.plot([1, 10, 100], [1, 2, 3])
        axes.set_title(figure.label("名前 $x$ \x1b[2J"))  # a script that the font lacks
        figure.tidy(axes)
        figure.legend_below(drawn, [("a", figure.BLUE), ("b", figure.ORANGE)])
        return figure.save(drawn, form)

    assert picture() == picture()
    if form == "png":
        assert picture().startswith(PNG)
    else:
        ElementTree.fromstring(picture())


def test_labels_are_bounded() -> None:
    assert figure.label("x" * 100, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("which", ["x", "y"])
def test_log_axes_have_plain_numbers(which: str) -> None:
    axes = figure.figure(2.0, 1.5).subplots()
    figure.log_axis(axes, which)
    axis, other = (axes.xaxis, axes.yaxis) if which == "x" else (axes.yaxis, axes.xaxis)
    assert (axis.get_scale(), other.get_scale()) == ("log", "linear")
    assert [axis.get_major_formatter()(value) for value in (0.5, 20.0, 1000.0)] == ["0.5", "20", "1000"]
    assert {1.0, 2.0, 5.0, 10.0} <= set(axis.get_major_locator().tick_values(1, 10))


def test_series_are_told_apart() -> None:
    assert len(set(figure.SERIES)) == len(figure.SERIES) == len(set(figure.MARKERS))
    assert figure.GREY not in figure.SERIES  # it is waiting's and ideal's
