"""The charts of scaling (`reports.scaling_charts`)."""

from __future__ import annotations

import pytest
from sample_charts import FOUR, ONE, entry

from analysis.reports import scaling_charts
from analysis.reports.charts import Kind, Plot


def test_speed_up_stands_beside_the_ideal() -> None:
    ideal, line = scaling_charts.speed_up([ONE, FOUR], "decode").series
    assert ideal.points == ((1.0, 1.0), (4.0, 4.0)) and ideal.dashed and ideal.kind is Kind.RULE
    assert line.points == ((1.0, 1.0), (4.0, 2.0))
    assert line.tips[1] == "16 tokens: 2 times as fast with 4 threads"


def test_a_tokens_time_is_stacked_and_adds_up() -> None:
    chart = scaling_charts.time_of_a_token([ONE, FOUR], "decode")
    one, four = chart.bars
    assert [(part.name, part.value, part.hue) for part in four.parts] == [
        ("gemv", pytest.approx(20), "green"),
        ("rope", pytest.approx(10), "slate"),
        ("other", pytest.approx(4), "grey"),
        ("waiting", pytest.approx(16), "vermillion"),
    ]
    assert [part.name for part in one.parts] == ["gemv", "rope", "other"]
    assert (one.total, four.total) == (pytest.approx(100), pytest.approx(50))
    assert (one.note, four.note) == ("100 ms a token", "50 ms a token")


def test_without_rows_of_operations_that_is_said() -> None:
    found = [entry(1, 10.0)]
    (bar,) = scaling_charts.time_of_a_token(found, "decode").bars
    assert bar.empty == "no per-operation rows (--per-op)"
    assert scaling_charts.components(found, "decode").empty == bar.empty
    assert scaling_charts.component_speed_up(found, "decode").empty == bar.empty


def test_waiting_has_no_speed_up() -> None:
    names = [series.name for series in scaling_charts.component_speed_up([ONE, FOUR], "decode").series]
    assert names == ["ideal", "gemv", "rope"]


@pytest.mark.parametrize("kind", ["prefill", "decode"])
def test_every_chart_has_something_to_show(kind: str) -> None:
    found = [
        entry(n, rate, prompt, kind, gemm=[0.01, 0.01]) for n, rate in ((1, 9.0), (2, 15.0)) for prompt in (16, 64)
    ]
    for chart in (*scaling_charts.LEADING, *scaling_charts.DETAILS):
        drawn = chart(found, kind)
        assert drawn.title.startswith(f"{kind}: ")
        if isinstance(drawn, Plot):
            assert any(series.points for series in drawn.series)
    assert [series.name for series in scaling_charts.rates(found, kind).series] == ["1 thread", "2 threads"]


def test_a_speed_up_that_is_not_known_is_not_drawn() -> None:
    lines = scaling_charts.speed_up([entry(1, 10.0), entry(2, 15.0, 64)], "decode").series
    assert [len(series.points) for series in lines] == [2, 1, 0]
