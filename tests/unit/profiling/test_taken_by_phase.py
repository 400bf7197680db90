"""What others took in each phase, from moments that are told (`profiling.taken_by_phase`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from q4engine.cpu_time import MachineTime, Moment, ThreadTime
from q4engine.engine import Phase
from q4engine.profiling import taken_by_phase
from q4engine.profiling.taken_by_phase import TakenByPhase


class Clock:
    """Moments a stated time apart, in which a share of the CPUs' time was stolen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.stolen, self.waited, self.n_read = 0.0, 0.0, 0, 0
        monkeypatch.setattr(taken_by_phase, "read_moment", self.read)
        monkeypatch.setattr(taken_by_phase.time, "monotonic", lambda: self.now)

    def read(self, _: object) -> Moment:
        self.n_read += 1
        machine = MachineTime(self.now - self.stolen, self.stolen)
        return Moment(self.now, machine, machine, 0.0, {1: ThreadTime(int(self.now * 1e9), self.waited)})

    def run(self, seconds: float, stolen: float = 0.0) -> None:
        self.now, self.stolen = self.now + seconds, self.stolen + stolen


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    yield Clock(monkeypatch)


def test_each_phase_has_what_was_taken_in_its_calls(clock: Clock) -> None:
    phases = TakenByPhase([0])
    spans: list[tuple[Phase, float, float]] = [("prefill", 1.0, 0.5), ("decode", 3.0, 0.3), ("prefill", 1.0, 0.3)]
    for phase, seconds, stolen in spans:
        phases.begin(phase)
        clock.run(seconds, stolen)
    phases.end()
    found = phases.percents()
    assert found["steal_percent.prefill"] == pytest.approx(40.0)
    assert found["steal_percent.decode"] == pytest.approx(10.0)
    assert found["run_delay_percent.decode"] == 0.0 and clock.n_read == 4 and phases.spent_ns > 0


def test_a_phase_too_short_for_ticks_tells_of_its_threads_alone(clock: Clock) -> None:
    phases = TakenByPhase(None)
    phases.begin("decode")
    clock.run(0.2, 0.1)
    phases.end()
    assert phases.percents() == {"run_delay_percent.decode": 0.0}
    assert TakenByPhase(None).percents() == {}


def test_phases_that_alternate_with_every_call_are_told_of_none(clock: Clock) -> None:
    phases = TakenByPhase(None)
    for at in range(1000):
        phases.begin("verify" if at % 2 else "decode")
        clock.run(0.002)
    phases.end()
    assert clock.n_read < 50 and phases.percents() == {}


def test_a_short_prompt_goes_with_what_follows(clock: Clock) -> None:
    phases = TakenByPhase(None)
    phases.begin("prefill")
    clock.run(0.01)
    phases.begin("decode")
    clock.run(2.0, 0.5)
    phases.end()
    assert phases.percents() == {"steal_percent.decode": pytest.approx(25.0, rel=0.01), "run_delay_percent.decode": 0.0}
