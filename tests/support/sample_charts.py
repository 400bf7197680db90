"""Charts and combinations made up for tests of pages and pictures."""

from __future__ import annotations

from analysis.combinations import Combination
from analysis.reports.charts import Axis, Bands, Bar, Bars, Kind, Part, Plot, Series

HOSTILE = "</title><script>x</script>\"'&\x1b"

BARS = Bars(
    HOSTILE,
    "share (%)",
    (
        Bar("decode", (Part("gemm", 70.0, "blue", "gemm: 70 %"), Part(HOSTILE, 2.0, "grey", HOSTILE)), "50 tokens/s"),
        Bar("x" * 300, (), HOSTILE, empty="not measured"),
    ),
    most=100.0,
    mark=" %",
)
LINES = Plot(
    "lines",
    Axis("threads", ticks=(1.0, 2.0, 4.0)),
    Axis("tokens/s", log=True),
    (
        Series("a", "blue", ((1.0, 10.0), (2.0, 19.0), (4.0, 36.0)), Kind.LINE, ("1", "2", "3"), ("", HOSTILE, "b")),
        Series("ideal", "faint", ((1.0, 10.0), (4.0, 40.0)), Kind.RULE, dashed=True),
        Series("spans", "green", ((1.0, 12.0), (2.0, 12.0)), Kind.SPANS, ("span",)),
        Series("dots", "gold", ((3.0, 12.0),), Kind.DOTS, ("dot",), ("named",), mark=3, sizes=(2.0,)),
    ),
    remark="no roof: nothing was measured",
)
STACKS = Plot(
    "over time",
    Axis("s", low=0.0, high=2.0),
    Axis("%", low=0.0, high=100.0),
    bands=(
        Bands(
            (("gemm", "blue"), ("waiting", "vermillion")),
            ((0.0, 1.0), (1.0, 2.0)),
            ((60.0, 40.0), (float("nan"), 5.0)),
            ("first", "second"),
        ),
    ),
)
EMPTY = Plot("nothing", Axis("x", log=True), Axis("y", log=True), empty="nothing was counted " * 8)


def entry(threads: int, rate: float, prompt: int = 16, kind: str = "decode", **components: list[float]) -> Combination:
    seconds = [(16, 1 / rate), (17, 1 / rate)]
    return Combination(kind, threads, prompt, [rate], seconds, components, [1, 1])


ONE = entry(1, 10.0, gemv=[0.08, 0.08], rope=[0.01, 0.01])
FOUR = entry(4, 20.0, gemv=[0.02, 0.02], rope=[0.01, 0.01], barrier=[0.015, 0.015], end=[0.001, 0.001])
