"""What weighs CPUs and intervals in a mean of percentages (`weights`), and means without any (`scopes`, `averaged`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from capture_tables import parsed

from analysis.cutting import cut
from analysis.judging import load
from analysis.phase import METRIC_PREFIX
from analysis.scopes import count_spans
from analysis.series import series_of
from analysis.table import TableBuilder
from analysis.verdicts.averaged import disagreement
from analysis.weights import Weights

BOUND = METRIC_PREFIX + "backend_bound"


def _mean(**events: tuple[float, float]) -> tuple[float, str]:
    """The mean of 10 and 90 % on two CPUs beside these events, and what is doubtful about it."""
    builder = TableBuilder()
    for cpu in (0, 1):
        for event, values in events.items():
            builder.add(event.replace("metric_", METRIC_PREFIX), values[cpu], start_s=0.0, scope=f"cpu:{cpu}")
        builder.add(BOUND, (10.0, 90.0)[cpu], start_s=0.0, scope=f"cpu:{cpu}", unit="%")
    series, _ = series_of(builder.frame())
    (counted,) = count_spans(series, np.array([0.0]), np.array([1.0]), "split")
    return counted.counts[BOUND].value, counted.counts[BOUND].doubt


@pytest.mark.parametrize(
    ("events", "value"),
    [
        ({"CPU_CYCLES": (3e9, 1e9)}, 30.0),
        ({"slots": (7e9, 1e9)}, 20.0),
        ({"INST_RETIRED": (6e9, 1e9), "metric_ipc": (2.0, 1.0)}, 30.0),
        ({"metric_ghz": (3.0, 1.0)}, 30.0),
        ({"CPU_CYCLES": (0.0, 1e9)}, 90.0),
    ],
)
def test_shares_are_weighted_by_cycles_however_they_are_told(
    events: dict[str, tuple[float, float]], value: float
) -> None:
    assert _mean(**events) == (pytest.approx(value), "")


def test_without_weights_the_mean_says_so() -> None:
    assert _mean() == (50.0, "unweighted mean of 2 CPUs, 10.0 to 90.0 %")


def test_a_weight_that_one_cpu_lacks_is_none() -> None:
    assert _mean(CPU_CYCLES=(3e9, float("nan")))[1].startswith("unweighted")


def test_misses_per_instruction_are_weighted_by_instructions() -> None:
    builder = TableBuilder()
    for cpu, (cycles, instructions, misses) in enumerate(((1e9, 9e9, 1.0), (9e9, 1e9, 11.0))):
        builder.add("CPU_CYCLES", cycles, start_s=0.0, scope=f"cpu:{cpu}")
        builder.add("INST_RETIRED", instructions, start_s=0.0, scope=f"cpu:{cpu}")
        builder.add(METRIC_PREFIX + "branch_mpki", misses, start_s=0.0, scope=f"cpu:{cpu}")
    series, _ = series_of(builder.frame())
    (counted,) = count_spans(series, np.array([0.0]), np.array([1.0]), "split")
    assert counted.counts[METRIC_PREFIX + "branch_mpki"].value == pytest.approx(2.0)
    weights = Weights(series)
    assert [weights.of(one).tolist() for one in series if one.event.endswith("mpki")] == [[9e9], [1e9]]  # type: ignore[union-attr]


def test_intervals_are_weighted_and_cut_by_time(tmp_path: Path) -> None:
    rows = [(3e9, 10), (1e9, 90)]
    text = "".join(
        f"{i:6d}.000000000,{cycles:.0f},,cycles,1000,100.00,,\n{i:6d}.000000000,,,,,,{share},%  tma_backend_bound\n"
        for i, (cycles, share) in enumerate(rows, 1)
    )
    (phase,) = cut(parsed(tmp_path, text))
    assert phase.counts[BOUND].value == pytest.approx(30.0) and not phase.counts[BOUND].doubt


def test_no_mean_no_disagreement(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    path.write_text("1000000000,,cycles,1000,100.00,,\n400000000,,stall_backend,1000,100.00,,\n", encoding="utf-8")
    (phase,) = load(path).judged()
    assert disagreement(phase.evidence, phase.judgement, lambda _: phase.judgement) == ""
