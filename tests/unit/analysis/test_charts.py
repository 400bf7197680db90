"""Charts as data (`reports.charts`): ends, ticks and places of their axes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.reports.charts import Axis, Bar, Bars, Kind, Part, Placed, Plot, Series, fewer, grouped, tick_label
from analysis.reports.charts import log_ticks as log
from analysis.reports.charts import nice_ticks as nice


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-6, 1e9), most=st.integers(2, 12))
def test_round_ticks_lie_on_the_axis(low: float, span: float, most: int) -> None:
    ticks = nice(low, low + span, most)
    assert len(ticks) <= most + 1
    slack = span * 1e-6 + 4 * math.ulp(low)  # a span of a few steps between floats
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)


@given(low=st.floats(1e-9, 1e6), factor=st.floats(1.5, 1e9), most=st.integers(2, 12))
def test_ticks_of_a_logarithmic_axis(low: float, factor: float, most: int) -> None:
    ticks = log(low, low * factor, most)
    assert len(ticks) <= most and ticks == sorted(ticks)
    assert all(low <= tick <= low * factor for tick in ticks)


def test_ticks_are_those_that_people_expect() -> None:
    assert nice(0, 100, 5) == [0, 20, 40, 60, 80, 100]
    assert nice(-3, 9, 5) == [-2.5, 0, 2.5, 5, 7.5]
    assert log(0.5, 120, 9) == [0.5, 1, 2, 5, 10, 20, 50, 100]
    assert nice(3, 3, 5) == [3]
    assert [tick_label(value) for value in (0.5, 20.0, 1000.0, 25000.0)] == ["0.5", "20", "1000", "25,000"]


@pytest.mark.parametrize("is_log", [False, True])
def test_places_on_an_axis(is_log: bool) -> None:
    place = Placed(1, 100, is_log)
    assert place(1) == 0 and place(100) == pytest.approx(1)
    assert place(10) == pytest.approx(0.5 if is_log else 9 / 99)


def test_bars_have_0_on_their_axis() -> None:
    bars = Bars("t", "ms", (Bar("a", (Part("x", -2.0, "blue", ""),)), Bar("b", (Part("x", 1.0, "blue", ""),))))
    assert bars.range == (-2.0, 1.0) and 0.0 in bars.ticks
    assert bars.legend == [("x", "blue")]
    assert Bars("t", "ms", ()).range == (0.0, 1.0)
    assert Bars("t", "%", (Bar("a", ()),), most=100.0).range == (0.0, 100.0)
    assert Bars("t", "ms", bars.bars, has_legend=False).legend == []


def test_axes_hold_what_is_drawn() -> None:
    series = Series("a", "blue", ((1.0, 5.0), (9.0, 50.0), (4.0, math.nan)), Kind.LINE)
    plot = Plot("t", Axis("x"), Axis("y", log=True), (series, series))
    assert [one.name for one in plot.legend] == ["a"]
    low, high = plot.ends(plot.x, 0)
    assert low == 0.0 and high > 9
    low, high = plot.ends(plot.y, 1)
    assert 0 < low < 5 and high > 50
    assert plot.ends(Axis("x", low=2.0, high=3.0), 0) == (2.0, 3.0)
    assert Plot("t", Axis("x"), Axis("y", log=True)).ends(Axis("y", log=True), 1)[0] > 0
    assert plot.ticks_of(Axis("x", ticks=(1.0, 2.0, 400.0)), 0) == [1.0, 2.0]
    many = tuple(float(n) for n in range(1, 10))
    assert len(plot.ticks_of(Axis("x", ticks=many), 0, 3)) <= 5


def test_neighbours_are_grouped() -> None:
    assert fewer(100, 200) == 1 and fewer(401, 200) == 3
    assert list(grouped([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
