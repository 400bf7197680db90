"""Counters on the real kernel: software events of the engine's threads."""

from __future__ import annotations

import threading
from pathlib import Path

import bits
import pytest
from capture_runs import read_capture

from q4engine import _native
from q4engine.engine import Engine
from q4engine.profiling.counters import AVAILABLE, Counters
from q4engine.profiling.observer import Observation, observe
from q4engine.profiling.plan import plan_counters

SOFTWARE = 1


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bits.write_model("llama", tmp_path_factory.mktemp("model"))


def software_counters(text: str) -> Counters:
    counters = plan_counters(text, _native.pmu_try)
    if counters.state != AVAILABLE:
        pytest.skip(f"the kernel counts nothing here: {counters.state}")
    return counters


def test_bad_groups_are_errors(model: Path) -> None:
    session = Engine.load(model, n_threads=1).session(n_ctx=64).recorder
    assert session is not None
    for groups in (None, [[]], [[(1, 1, True)] * 17], [[(1, 1, True)]] * 33, [[("a", 1, True)]], [(1, 1, True)]):
        with pytest.raises((ValueError, TypeError)):
            session.record(1, groups)
    for level in (-1, 4):
        with pytest.raises(ValueError, match="0 to 3"):
            session.record(level, [])
    with pytest.raises(ValueError, match="not recorded"):
        session.select(1)
    with pytest.raises(ValueError, match="not recorded"):
        session.recorded()


def test_a_refused_event_leaves_nothing_recorded(model: Path) -> None:
    session = Engine.load(model, n_threads=2).session(n_ctx=64).recorder
    assert session is not None
    with pytest.raises(OSError):
        session.record(1, [[(0xFFFF, 1, True)]])
    assert _native.pmu_try([(SOFTWARE, 1, True), (0xFFFF, 1, True)])[1] in (0, 1)
    with pytest.raises(ValueError, match="not recorded"):
        session.recorded()


def test_a_session_before_its_first_call_has_no_records(model: Path) -> None:
    session = Engine.load(model, n_threads=1).session(n_ctx=64).recorder
    assert session is not None
    session.record(2, [])
    assert session.recorded() == []


def test_counters_see_the_engines_threads_alone(model: Path) -> None:
    """task-clock of the calls; the same while another thread of this process is busy all the time."""
    software_counters("task-clock")
    path = model.parent / "threads.csv"
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(range(1000))

    other = threading.Thread(target=busy)
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    other.start()
    try:
        with observe(session, Observation(capture=path, events="task-clock")):
            for _ in range(20):
                session.decode([1])
    finally:
        stop.set()
        other.join()
    _, rows = read_capture(path)
    for row in rows:
        assert 0 < int(row["task-clock@sw"]) <= int(row["duration_ns"])


def test_a_call_from_another_thread_has_no_counts(model: Path) -> None:
    software_counters("task-clock")
    path = model.parent / "other.csv"
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    with observe(session, Observation(capture=path, events="task-clock")):
        session.decode([1])
        caller = threading.Thread(target=lambda: session.decode([1]))
        caller.start()
        caller.join()
    _, rows = read_capture(path)
    assert [bool(row["task-clock@sw"]) for row in rows] == [True, False]


def test_page_faults_are_those_of_the_call(model: Path) -> None:
    counters = software_counters("page-faults")
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    recorder = session.recorder
    assert recorder is not None
    recorder.record(1, counters.native_groups)
    recorder.select(1)
    session.decode([1])
    bytearray(64 << 20)  # page faults between two calls are nobody's
    session.decode([1])
    *_, counts = recorder.recorded()[-1]
    first, last = memoryview(counts).cast("q")[3], memoryview(counts).cast("q")[3 + counters.groups[0].words]
    assert 0 <= last - first < 1000


def test_the_cost_of_a_look_is_measured(model: Path) -> None:
    counters = software_counters("task-clock")
    recorder = Engine.load(model, n_threads=1).session(n_ctx=64).recorder
    assert recorder is not None
    recorder.record(3, counters.native_groups)
    recorder.select(1)
    mark_ns, reading_ns = recorder.record_cost()
    assert mark_ns > 0 and reading_ns > mark_ns
