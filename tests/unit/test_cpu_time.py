"""What others take of the CPUs, from files of /proc that hold known times."""

from __future__ import annotations

from pathlib import Path

import pytest

from q4engine import cpu_time
from q4engine.cpu_time import MachineTime, Moment, ThreadTime, machine_time, read_moment, taken_percents

STAT = "cpu  300 0 100 9000 50 0 0 80 0 0\ncpu0 200 0 50 4000 25 0 0 30 0 0\ncpu1 100 0 50 5000 25 0 0 50 0 0\nintr 1\n"


def moment(at: float, busy: float, stolen: float, own: float, threads: dict[int, ThreadTime] | None = None) -> Moment:
    machine = MachineTime(busy, stolen)
    return Moment(at, machine, machine, own, threads or {})


def test_rows_of_some_cpus_or_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_time, "STAT", tmp_path / "stat")
    monkeypatch.setattr(cpu_time.os, "sysconf", lambda name: 100)
    assert machine_time() is None
    (tmp_path / "stat").write_text(STAT)
    assert machine_time() == (4.0, 0.8)
    assert machine_time([1]) == (1.5, 0.5)
    assert machine_time([0, 1, 7]) == (4.0, 0.8)
    assert machine_time([7]) is None


def test_threads_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_time, "TASKS", tmp_path)
    for thread, text in (("11", "5000 300 4\n"), ("12", "garbage\n")):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(text)
    (tmp_path / "13").mkdir()
    assert read_moment().threads == {11: ThreadTime(5000, 300)}


def test_what_was_taken() -> None:
    before = moment(100.0, 50.0, 1.0, 20.0, {1: ThreadTime(1000, 500)})
    after = moment(110.0, 65.0, 2.0, 32.0, {1: ThreadTime(7000, 1500), 2: ThreadTime(3000, 0)})
    found = taken_percents(before, after)
    assert found["steal_percent"] == pytest.approx(100 / 16)  # 1 s of the 16 s in which the CPUs had work
    assert found["run_delay_percent"] == pytest.approx(10.0)  # 1000 of 10000 ns, a new thread's from its start
    assert found["others_percent_of_cpu"] == pytest.approx(40.0)  # 15 s were used, 12 of them ours, 1 s was stolen


def test_too_few_ticks_and_sums_that_go_back_tell_nothing() -> None:
    start = moment(100.0, 50.0, 5.0, 20.0)
    assert taken_percents(start, moment(100.4, 50.4, 5.0, 20.4)) == {}
    assert "steal_percent" not in taken_percents(start, moment(110.0, 60.0, 4.0, 30.0))
    assert taken_percents(Moment(0.0, None, None, 0.0), Moment(9.0, None, None, 9.0)) == {}


def test_this_machine() -> None:
    before = read_moment()
    after = read_moment()
    assert all(
        0 <= value <= 100 for key, value in taken_percents(before, after).items() if key != "others_percent_of_cpu"
    )
    assert after.at >= before.at and after.own >= before.own
