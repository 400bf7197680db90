"""How prefill and decode scale, as text and as pictures (`reports.scaling_chart`)."""

from __future__ import annotations

from analysis_commands import PNG

from analysis import combinations
from analysis.combinations import Combination
from analysis.judging import Capture
from analysis.reports import scaling_chart


def test_scaling_of_one_combination(timed: Capture) -> None:
    found = combinations.gather([timed])
    assert [(entry.kind, entry.threads, entry.prompt) for entry in found] == [("prefill", 2, 16), ("decode", 2, 16)]
    assert combinations.speed_up(combinations.of_kind(found, "decode"), 2, 16) == 1.0
    assert combinations.leading_components(found)[0] == "gemm"
    assert "decode" in scaling_chart.render(found)
    assert scaling_chart.picture(found, "synthetic").startswith(PNG)


def entry(threads: int, rate: float, **components: list[float]) -> Combination:
    return Combination("decode", threads, 16, [rate], [(16, 0.1), (17, 0.1)], components, [1, 1])


def test_text_of_the_speed_up() -> None:
    found = [entry(2, 10.0, gemm=[0.08, 0.08]), entry(4, 16.0, gemm=[0.04, 0.04], barrier=[0.02, 0.02])]
    assert [line.split() for line in scaling_chart.render(found).splitlines()] == [
        ["decode"],
        ["prompt", "threads", "tokens/s", "speed-up", "over", "2", "of", "ideal", "gemm", "barrier"],
        ["16", "2", "10.0", "1.00", "100", "%", "80.0", "%", "-"],
        ["16", "4", "16.0", "1.60", "80", "%", "40.0", "%", "20.0", "%"],
    ]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    _, *rows = scaling_chart.render([entry(2, 10.0), entry(4, 123456.0)]).splitlines()
    assert len({len(row) for row in rows}) == 1


def test_a_speed_up_that_is_not_known_is_no_number() -> None:
    other = Combination("decode", 4, 64, [5.0], [(64, 0.2)], {}, [1])
    rows = [line.split() for line in scaling_chart.render([entry(2, 10.0), other]).splitlines()]
    assert rows[-1] == ["64", "4", "5.0", "-", "-"]


def test_kinds_and_components_that_are_missing_are_said() -> None:
    drawn = scaling_chart.picture([entry(1, 10.0)], "a $title$", "svg").decode()
    assert "no prefill in these captures" in drawn and "no per-operation rows (" in drawn
