"""Charts of a sweep's operations, and laws of speed-up, with known answers."""

from __future__ import annotations

import pytest
from swept import synthetic_plan

from analysis.reports import sweep_parts, sweep_report
from analysis.sweep_results import SweepResults, read
from q4engine.sweep.results import Results, Run, Sample
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
                )
            )
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


def test_each_operation_has_its_speed_up(results: SweepResults) -> None:
    ideal, gemm, attention = next(sweep_parts.part_speed_ups(results, results.times["prefill"])).series
    for line in (ideal, gemm):
        assert [y for _, y in line.points] == pytest.approx([1, 2, 4])
    assert [y for _, y in attention.points] == pytest.approx([1, 1, 1])


def test_laws_of_the_whole(results: SweepResults) -> None:
    table = sweep_parts.laws_table(results.times["prefill"])
    assert table is not None and {(row[1], row[-1]) for row in table.rows} == {("Amdahl", "holds")}
    assert [row[2] for row in table.rows] == pytest.approx(4 * [20.0])  # 20 of 100 ms


def test_the_report_has_all_of_it(results: SweepResults) -> None:
    section = next(each for each in sweep_report.of_sweep(results).sections if each.title == "prefill")
    said = str(section.blocks)
    assert "laws of speed-up" in said and "speed-up by operation" in said
