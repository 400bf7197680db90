"""The charts of a capture (`reports.capture_charts`), and what they fall back to."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_captures as captures
from analysis_commands import HEADER, TOKEN
from judged_phases import N2, phase, stalls
from synthetic_captures import decode, prefill

from analysis import palette
from analysis.judging import Capture, load
from analysis.reports import capture_charts
from analysis.reports.charts import Kind


def test_charts_are_of_stalls_and_of_time(counted: Capture, timed: Capture) -> None:
    assert [stack.of for stack in capture_charts.stacks_of(counted)] == ["cycles"]
    (time,) = capture_charts.stacks_of(timed)
    assert time.of == "time"
    shares = time.shares(timed.judged()[1], timed.judged()[1])
    assert shares is not None and sum(shares) == pytest.approx(100, abs=0.1)
    (bars,) = capture_charts.where(timed)
    prompt, token = bars.bars
    assert (prompt.label, token.label) == ("prefill", "decode")
    assert token.note.endswith(" tokens/s") and token.total == pytest.approx(100, abs=0.1)
    assert [(part.name, part.hue) for part in token.parts] == [
        ("gemm", "blue"),
        ("attention", "violet"),
        ("rms_norm", "sage"),
    ]
    assert token.parts[0].tip == f"decode, gemm: {token.parts[0].value:.1f} % of the time"


def test_both_where_both_were_counted(tmp_path: Path) -> None:
    rates = {"CPU_CYCLES": 2e9, "STALL_BACKEND": 1e9, "STALL_BACKEND_MEM": 5e8}
    parts = (captures.Part("gemv", 1e-3, "64x64"), captures.Part("barrier", 2e-4), captures.Part("conv3d", 1e-4))
    path = tmp_path / "synthetic.csv"
    captures.write_per_op(path, parts, threads=2, prompt=8, n_decode=8, header=HEADER, counts_per_second=rates)
    cycles, time = capture_charts.where(load(path))
    assert (cycles.title, time.title) == ("Where the cycles went", "Where the time went")
    assert [part.name for part in cycles.bars[1].parts][:2] == ["memory stalls", "other back-end stalls"]
    waiting, other = (
        next(part for part in time.bars[1].parts if part.name == name) for name in ("waiting", "other operations")
    )
    assert (waiting.hue, other.hue) == (palette.WAITING, palette.OTHER)


def test_a_capture_of_nothing_but_times_is_drawn_without_shares(tmp_path: Path) -> None:
    capture = load(captures.write_capture(tmp_path / "synthetic.csv", decode(8, 0.02, {}), HEADER))
    assert capture_charts.stacks_of(capture) == []
    (bars,) = capture_charts.where(capture)
    assert [bar.empty for bar in bars.bars] == ["stalls not measured"]
    assert "no stalls and no instruction classes were counted" in capture_charts.shares(capture).empty


def test_instruction_classes_where_no_stalls_were_counted(tmp_path: Path) -> None:
    counts = {"INST_SPEC": 1e8, "ASE_SPEC": 4e7, "LD_SPEC": 3e7}
    capture = load(captures.write_capture(tmp_path / "synthetic.csv", decode(8, 0.02, counts), HEADER))
    (bars,) = capture_charts.where(capture)
    found = {part.name: part.value for part in bars.bars[0].parts}
    assert found["Advanced SIMD"] == pytest.approx(40, rel=1e-3) and found["loads"] == pytest.approx(30, rel=1e-3)
    assert bars.unit == "share of instructions (%)"


@pytest.mark.parametrize(
    ("be", "m", "fe", "expected"),
    [
        (0.6, 0.5, 0.1, [30.0, 30.0, 10.0, 30.0]),
        (0.6, 1.2, 0.0, [60.0, 0.0, 0.0, 40.0]),  # memory stalls are at most the back end's
        (1.0, 0.0, 0.3, [0.0, 100.0, 30.0, 0.0]),  # the rest is never less than nothing
    ],
)
def test_shares_of_cycles(be: float, m: float, fe: float, expected: list[float]) -> None:
    (step, *_) = phase(**stalls(be, m, STALL_FRONTEND=fe)).steps
    assert capture_charts.shares_of(step, N2) == pytest.approx(expected)


def test_without_stalls_there_are_no_shares() -> None:
    assert capture_charts.shares_of(phase().steps[0], N2) is None
    assert capture_charts.shares_of(phase(STALL_BACKEND=1.5).steps[0], N2) is None  # more stalls than cycles


def test_lengths_have_a_median_and_a_95th_percentile(counted: Capture) -> None:
    plot = capture_charts.lengths(counted)
    spans = {series.name: series for series in plot.series if series.kind is Kind.SPANS}
    assert {name: (series.hue, len(series.points) // 2) for name, series in spans.items()} == {
        "prefill": ("blue", 1),
        "decode": ("green", 20),
    }
    assert plot.y.log and spans["prefill"].points[0] == (0.0, pytest.approx(900))
    rules = [series for series in plot.series if series.kind is Kind.RULE]
    assert [series.labels[1] for series in rules] == ["p95 20.4 ms", "median 20 ms"]
    assert [series.hue for series in rules] == ["green", "green"]
    assert spans["decode"].tips[0] == "decode, past 512: 19.600 ms, memory-bound"


def test_many_steps_become_fewer_marks(tmp_path: Path) -> None:
    calls = [*prefill(512, 0.1, TOKEN), *decode(1500, 0.02, TOKEN)]
    capture = load(captures.write_capture(tmp_path / "synthetic.csv", calls, HEADER))
    lengths, shares = capture_charts.lengths(capture), capture_charts.shares(capture)
    spans = next(series for series in lengths.series if series.name == "decode")
    assert len(spans.points) // 2 == len(spans.tips) == 500
    assert lengths.remark == "a mark is the longest of 3 neighbours"
    assert {round(y, 6) for _, y in spans.points} <= {20.0, 20.2, 20.4}
    assert len(shares.bands[1].spans) == len(shares.bands[1].values) <= 200
    assert sum(shares.bands[1].values[0]) == pytest.approx(100)


def test_an_emulators_clock_draws_no_lengths(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    capture = load(captures.write_capture(path, decode(8, 0.02, TOKEN), HEADER | {"emulated": "yes"}))
    plot = capture_charts.lengths(capture)
    assert plot.empty == "an emulator's clock tells no lengths" and plot.title.endswith("(EMULATED)")
    shares = capture_charts.shares(capture)
    assert shares.ticks_of(shares.x, 0) == [] and shares.x.label == "steps, one after the other"
