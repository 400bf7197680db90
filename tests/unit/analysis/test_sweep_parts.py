"""Charts of a sweep's operations, tokens and perplexities, with known answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from swept import setup, synthetic_plan

from analysis.reports import sweep_parts, sweep_report
from analysis.sweep_results import SweepResults, Times, read
from q4engine.sweep.results import Results, Run, Sample
from q4engine.sweep.scored_models import Perplexity
from q4engine.sweep.sweeping import planned

AXES = {"threads": [1, 2, 4], "prompt": [16, 64], "type": ["q4_0", "q8_0"], "model": ["a.gguf"]}
SIZES = {"q4_0": 80_000_000, "q8_0": 150_000_000}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> SweepResults:
    """Products of matrices take 80 ms a token divided by the threads, attention 20 ms whatever they are."""
    plan, path = synthetic_plan(AXES, blocks=6), tmp_path_factory.mktemp("parts") / "synthetic.sqlite"
    with Results(path) as written:
        written.begin(plan.name, plan.settings(), {})
        for block, combination in planned(plan):
            shared = 0.08 / combination.number("threads")
            parts = [("prefill", "gemm", shared), ("prefill", "attention", 0.02), ("decode", "gemv", shared)]
            written.add(
                Run(
                    combination,
                    block,
                    "done",
                    engine={"model_size": SIZES[combination.text("type")]},
                    samples=[Sample("prefill", 10, 10 * (shared + 0.02)), Sample("decode", 4, 4 * shared)],
                    components=[Sample(phase, 10, 10 * seconds, name) for phase, name, seconds in parts],
                    tokens=[(16 + n, 0.001 * (n + 1)) for n in range(3)],
                )
            )
        written.add_perplexities(
            [Perplexity("a.gguf", "q4_0", 20.0, 0.5, 100), Perplexity("a.gguf", "q8_0", 18, 0.5, 9)]
        )
        assert written.perplexities() == {("a.gguf", "q4_0"), ("a.gguf", "q8_0")}
    return read(path)


def test_operations_over_lengths(results: SweepResults) -> None:
    times = results.times["prefill"]
    plots = list(sweep_parts.parts_over(results, times))
    assert plots[0].title.startswith("prefill: operations over threads") and any(
        "over prompt" in p.title for p in plots
    )
    gemm, attention = plots[0].series
    assert (gemm.name, attention.name) == ("gemm", "attention")
    assert [y for _, y in gemm.points] == pytest.approx([80, 40, 20])
    assert [y for _, y in attention.points] == pytest.approx([20, 20, 20])


def test_each_operation_has_its_share(results: SweepResults) -> None:
    table = sweep_parts.shares_table(results, results.times["prefill"])
    assert table is not None and [column.title for column in table.columns] == [
        *("setup", "ms a token", "gemm", "attention", "others", "waiting")
    ]
    first, *_, last = table.shown()
    assert first == ["q4_0, threads 1, prompt 16", "100.0", "80.0 %", "20.0 %", "0.0 %", "0.0 %"]
    assert last == ["q8_0, threads 4, prompt 64", "40.0", "50.0 %", "50.0 %", "0.0 %", "0.0 %"]
    times = results.times["prefill"]
    without = Times("prefill", [setup("other")], times.seconds[:1], times.samples[:1], times.tokens[:1])
    assert sweep_parts.shares_table(results, without) is None


def test_each_operation_has_its_speed_up(results: SweepResults) -> None:
    ideal, gemm, attention = next(sweep_parts.part_speed_ups(results, results.times["prefill"])).series
    for line in (ideal, gemm):
        assert [y for _, y in line.points] == pytest.approx([1, 2, 4])
    assert [y for _, y in attention.points] == pytest.approx([1, 1, 1])


def test_laws_of_the_whole(results: SweepResults) -> None:
    table = sweep_parts.laws_table(results.times["prefill"])
    assert table is not None and {(row[1], row[-1]) for row in table.rows} == {("Amdahl", "holds")}
    assert [row[2] for row in table.rows] == pytest.approx(4 * [20.0])  # 20 of 100 ms


def test_each_token_is_a_line(results: SweepResults) -> None:
    (first, second) = sweep_parts.each_token(results, results.times["decode"])
    assert len(first.series) == 8 and len(second.series) == 4
    assert first.series[0].points == ((16.0, 1.0), (17.0, 2.0), (18.0, 3.0))
    assert list(sweep_parts.each_token(results, results.times["prefill"])) == []


def test_what_nothing_beats_in_three_things(results: SweepResults) -> None:
    assert sweep_parts.unbeaten({0: (1, 5, 1), 1: (2, 4, 1), 2: (2, 5, 1), 3: (3, 5, 0.5), 4: (1, 5, 1)}) == {
        0,
        1,
        3,
        4,
    }
    plot = sweep_parts.quality(results.times["decode"])
    assert plot is not None and [len(series.points) for series in plot.series] == [4, 8]
    assert set(plot.series[0].points) == {(80.0, 20.0), (150.0, 18.0)}


def test_the_report_has_all_of_it(results: SweepResults) -> None:
    section = next(each for each in sweep_report.of_sweep(results).sections if each.title == "decode")
    said = str(section.blocks)
    assert "laws of speed-up" in said and "perplexity against size" in said and "each token" in said
    assert "speed-up by operation" in said and Path(results.path).name == "synthetic.sqlite"
