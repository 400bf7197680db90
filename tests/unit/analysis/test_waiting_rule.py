"""Waiting from times alone (`waits`, `verdicts.waiting_rule`): barriers, a slow thread, start-up, other programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from analysis.calls import BARRIER
from analysis.judging import JudgedPhase, load
from analysis.phase import Count, Phase
from analysis.reports.summary import of_phase
from analysis.verdicts import Context, Outcome
from analysis.verdicts.waiting_rule import cause
from analysis.waits import Waits, cpu_seconds
from analysis.waits import of_phase as waits_of_phase

HEAD = "# q4engine capture\n# format_version: 1\n# emulated: no\n# counters: no PMU here\n"
COLUMNS = "call,phase,n_past,n_eval,op,layer,thread,start_ns,duration_ns,context_switches\n"


def capture(path: Path, rows: Sequence[tuple[str, int, int]], n_calls: int = 10, switches: int = 0) -> JudgedPhase:
    """The only phase of a capture whose calls of 1000 ns hold these rows: operation, thread, nanoseconds."""
    lines = [HEAD + COLUMNS.strip()]
    for call in range(n_calls):
        lines.append(f"{call},any,{call},1,,,,{1000 * call},1000,{switches}")
        lines += [f"{call},any,{call},1,{op},0,{thread},{1000 * call},{length}," for op, thread, length in rows]
    path.write_text("\n".join(lines) + "\n")
    (found,) = load(path).judged()
    return found


def test_barriers_lead(tmp_path: Path) -> None:
    rows = [("gemv", t, 500) for t in (0, 1)] + [("barrier", t, 500) for t in (0, 1)]
    found = capture(tmp_path / "synthetic.csv", rows)
    assert found.judgement.combined.outcome is Outcome.WAITING
    assert found.judgement.combined.confidence.name == "HIGH"
    (check,) = found.judgement.waiting.checks
    assert check.value == pytest.approx(0.5) and check.margin == pytest.approx(0.1)
    assert "wait for each other at barriers (50.0 % waiting for other threads)" in found.judgement.combined.text
    shown = of_phase(found, load(tmp_path / "synthetic.csv"))
    assert (shown.verdict, shown.confidence) == ("waiting-bound", "high") and "fewer threads" in shown.next


def test_one_thread_behind_is_named(tmp_path: Path) -> None:
    rows = [("gemv", 0, 100), ("barrier", 0, 900), ("gemv", 1, 100), ("barrier", 1, 900), ("gemv", 2, 1000)]
    found = capture(tmp_path / "synthetic.csv", rows)
    assert "thread 2 is behind" in found.judgement.combined.text
    assert found.evidence.waits is not None and found.evidence.waits.in_calls == pytest.approx(0.6)


def test_start_up(tmp_path: Path) -> None:
    found = capture(tmp_path / "synthetic.csv", [("begin", 0, 400), ("gemv", 0, 500), ("end", 0, 100)])
    assert "start late and end early" in found.judgement.combined.text


def test_other_programs(tmp_path: Path) -> None:
    rows = [("gemv", t, 500) for t in (0, 1)] + [("barrier", t, 500) for t in (0, 1)]
    found = capture(tmp_path / "synthetic.csv", rows, switches=3)
    assert "other programs take the CPUs: 3.0 context switches a call" in found.judgement.combined.text


@pytest.mark.parametrize(("waited", "outcome"), [(399, Outcome.NOT_WAITING), (401, Outcome.WAITING)])
def test_threshold(waited: int, outcome: Outcome, tmp_path: Path) -> None:
    rows = [("gemv", t, 1000 - waited) for t in (0, 1)] + [("barrier", t, waited) for t in (0, 1)]
    found = capture(tmp_path / "synthetic.csv", rows)
    assert found.judgement.waiting.outcome is outcome


def test_without_waiting_the_largest_operation_is_the_headline(tmp_path: Path) -> None:
    found = capture(tmp_path / "synthetic.csv", [("gemv", 0, 850), ("attention", 0, 150)])
    shown = of_phase(found, load(tmp_path / "synthetic.csv"))
    assert shown.verdict == "gemv takes 85.0 % of the time"
    assert "not measured" not in shown.verdict and "no PMU here" in shown.why and "q4engine doctor" in shown.next


def _of_counts(seconds: float, n_threads: int = 0, **counts: Count) -> Waits | None:
    return waits_of_phase(Phase("any", 0, 0, 0.0, seconds, [], counts), [], None, n_threads)


def test_cpu_time_of_other_tools() -> None:
    clock = {"task-clock": Count(400.0, unit="msec")}
    found = _of_counts(1.0, **clock)
    assert found is not None and found.off_cpu == pytest.approx(0.6) and math.isnan(found.in_calls)
    assert _of_counts(0.3, **clock) is None  # more than one CPU: nobody knows how many threads there were
    four = _of_counts(0.2, 4, **clock)
    assert four is not None and four.off_cpu == pytest.approx(0.5)
    assert cpu_seconds({"task-clock": Count(4e8, group="g2")}) == pytest.approx(0.4)
    assert math.isnan(cpu_seconds({}))


def test_a_program_that_sleeps() -> None:
    assert "sleeps or waits" in cause(Waits({}, 0.7), Context())
    assert "other programs" in cause(Waits({BARRIER: 0.5}, switches=1.0), Context())
