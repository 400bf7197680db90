"""Waiting from times alone (`waits`, `verdicts.waiting_rule`): barriers, a slow thread, start-up, other programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from analysis.calls import BARRIER
from analysis.cores import find as load_core
from analysis.judging import JudgedPhase, load
from analysis.phase import Count, Phase
from analysis.reports.summary import of_phase
from analysis.verdicts import Confidence, Context, Evidence, Outcome, roofline_rule
from analysis.verdicts.waiting_rule import cause
from analysis.waits import Taken, Waits, cpu_seconds
from analysis.waits import of_phase as waits_of_phase

HEAD = "# q4engine capture\n# format_version: 1\n# emulated: no\n# counters: no PMU here\n"
COLUMNS = "call,phase,n_past,n_eval,op,layer,thread,start_ns,duration_ns,context_switches\n"


def capture(
    path: Path, rows: Sequence[tuple[str, int, int]], n_calls: int = 10, switches: int = 0, **header: float
) -> JudgedPhase:
    """The only phase of a capture whose calls of 1000 ns hold these rows: operation, thread, nanoseconds."""
    keys = "".join(f"# {key}: {value}\n" for key, value in header.items())
    lines = [HEAD + keys + COLUMNS.strip()]
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


HALF_AT_BARRIERS = [("gemv", t, 500) for t in (0, 1)] + [("barrier", t, 500) for t in (0, 1)]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"steal_percent": 26.0}, "the hypervisor runs others: it took 26.0 %"),
        ({"steal_percent": 1.0, "run_delay_percent": 30.0}, "other programs take the CPUs: threads were ready 30.0 %"),
        ({"steal_percent": 24.0}, "wait for each other at barriers"),  # explains less than half of the waiting
        ({"steal_percent": 260.0}, "wait for each other at barriers"),
    ],
)
def test_what_others_took_is_the_cause(header: dict[str, float], said: str, tmp_path: Path) -> None:
    found = capture(tmp_path / "synthetic.csv", HALF_AT_BARRIERS, **header)
    assert said in found.judgement.combined.text


def test_a_single_thread_that_others_hold_up(tmp_path: Path) -> None:
    """No barrier tells of it, and what little lies before the first operation is not the cause."""
    rows = [("begin", 0, 100), ("gemv", 0, 900)]
    found = capture(tmp_path / "synthetic.csv", rows, run_delay_percent=84.0)
    assert "other programs take the CPUs: threads were ready 84.0 %" in found.judgement.combined.text
    late = [("begin", 0, 500), ("gemv", 0, 500)]
    assert "start late" in capture(tmp_path / "synthetic.csv", late, run_delay_percent=30.0).judgement.combined.text


def test_more_than_all_is_set_aside(tmp_path: Path) -> None:
    capture(tmp_path / "synthetic.csv", HALF_AT_BARRIERS, steal_percent=101.0)
    assert "set aside: steal_percent is 101, more than all" in load(tmp_path / "synthetic.csv").notes


def test_a_slow_thread_is_not_blamed_on_others(tmp_path: Path) -> None:
    rows = [("gemv", 0, 100), ("barrier", 0, 900), ("gemv", 1, 100), ("barrier", 1, 900), ("gemv", 2, 1000)]
    assert "thread 2 is behind" in capture(tmp_path / "c.csv", rows, steal_percent=6.0).judgement.combined.text


@pytest.mark.parametrize(("stolen", "outcome"), [(39.0, Outcome.NOT_MEASURED), (50.0, Outcome.WAITING)])
def test_stolen_time_leads_without_any_other_time(stolen: float, outcome: Outcome, tmp_path: Path) -> None:
    found = capture(tmp_path / "synthetic.csv", [], steal_percent=stolen)
    assert found.judgement.waiting.outcome is outcome
    if outcome is Outcome.WAITING:
        assert found.judgement.combined.confidence is Confidence.MEDIUM
        assert "of the whole run, not of this phase" in " ".join(found.judgement.combined.reasons)
        assert "are ours alone" in of_phase(found, load(tmp_path / "synthetic.csv")).next


@pytest.mark.parametrize(
    ("header", "outcome", "said"),
    [
        ({"steal_percent": 45.0, "steal_percent.any": 12.0}, Outcome.NOT_MEASURED, "took 12.0 % of the CPUs' time"),
        ({"steal_percent": 12.0}, Outcome.NOT_MEASURED, "took 12.0 % of the CPUs' time in the whole run"),
        ({"steal_percent": 2.0, "steal_percent.any": 45.0}, Outcome.WAITING, "it took 45.0 % of the CPUs' time"),
        ({"steal_percent": 45.0, "steal_percent.any": 0.0}, Outcome.NOT_MEASURED, "were timed"),
        ({"run_delay_percent.any": 7.0, "steal_percent.b": 50.0}, Outcome.NOT_MEASURED, "without a CPU 7.0 % of it"),
    ],
)
def test_what_others_took_of_a_phase(header: dict[str, float], outcome: Outcome, said: str, tmp_path: Path) -> None:
    waiting = capture(tmp_path / "synthetic.csv", [], **header).judgement.waiting
    assert waiting.outcome is outcome and said in waiting.text
    assert not any("whole run" in reason for reason in waiting.reasons)


def test_rates_are_doubted_where_others_had_the_cpus() -> None:
    phase = Phase("any", 0, 0, 0.0, 1.0, [], {"L3D_CACHE_REFILL": Count(1e6)})
    context = Context(core=load_core("neoverse-n2-r0p3"), read_peak=10e9)
    calm, taken = (
        roofline_rule.judge(Evidence(phase, (), waits=Waits({}, taken=Taken(share))), context) for share in (0.04, 0.06)
    )
    assert calm.outcome is taken.outcome is Outcome.COMPUTE
    assert "others had the CPUs 6.0 % of the time, so rates are too low" in taken.reasons
    assert not any("others had" in reason for reason in calm.reasons)
