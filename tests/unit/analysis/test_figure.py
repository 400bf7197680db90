"""What all pictures share (`reports.figure`)."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from analysis_commands import PNG

from analysis.reports import figure


def test_names_of_a_capture_are_no_formulas() -> None:
    assert figure.label("a$b$\x1b") == r"a\$b\$\x1b"


@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_same_figure_gives_the_same_bytes(form: str) -> None:
    def picture() -> bytes:
        drawn = figure.figure(2.0, 1.5)
        axes = drawn.subplots()
        axes.plot([1, 10, 100], [1, 2, 3])
        axes.set_title(figure.label("名前 $x$ \x1b[2J"))  # a script that the font lacks
        figure.tidy(axes)
        figure.legend_below(drawn, [("a", "blue"), ("b", "vermillion")], 2)
        return figure.save(drawn, form)

    assert picture() == picture()
    if form == "png":
        assert picture().startswith(PNG)
    else:
        ElementTree.fromstring(picture())


def test_labels_are_bounded() -> None:
    assert figure.label("x" * 100, 10) == "x" * 9 + "…"
