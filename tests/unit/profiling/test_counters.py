"""Counters on the real kernel: software events of the engine's threads, and of those of other programs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bits
import pytest
from capture_runs import read_capture

from q4engine import _native
from q4engine.engine import Engine
from q4engine.profiling.counters import AVAILABLE, Counters, Group
from q4engine.profiling.observer import Observation, observe
from q4engine.profiling.plan import plan_counters

SOFTWARE = 1
FAULTS_AND_TIME = [(SOFTWARE, 2, True), (SOFTWARE, 1, True)]


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
    counts = recorder.recorded()[-1]["counts"]
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


@pytest.fixture
def busy_program() -> Iterator[int]:
    """The process id of a program that computes and takes new memory all the time."""
    program = "import mmap\nprint(flush=True)\nwhile True:\n    mmap.mmap(-1, 4096)[0] = 1"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        yield process.pid
        process.kill()


def counts_of(counters: _native.Counters, n_threads: int) -> list[list[int]]:
    """Of each thread: number of events, time enabled, time running, page faults, task clock."""
    words = memoryview(counters.read()).cast("Q").tolist()
    assert len(words) == n_threads * 5
    return [words[i : i + 5] for i in range(0, len(words), 5)]


def wait_for_more(counters: _native.Counters, thread: int, before: list[int]) -> list[int]:
    """The thread's counts once it has worked and faulted since; some seconds are enough on any machine."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        now = counts_of(counters, 2)[thread]
        if now[3] > before[3] and now[4] > before[4]:
            return now
        time.sleep(0.01)
    pytest.fail(f"nothing was counted: {before}, then {now}")


def test_threads_of_another_program_are_counted_between_start_and_stop(busy_program: int) -> None:
    software_counters("task-clock,page-faults")
    counters = _native.Counters([0, busy_program], [FAULTS_AND_TIME])
    _, before = counts_of(counters, 2)
    assert before == [2, 0, 0, 0, 0]
    counters.start()
    after = wait_for_more(counters, 1, before)
    counters.stop()
    _, stopped = counts_of(counters, 2)
    assert after[0] == 2 and stopped[3] >= after[3] and stopped[1] >= stopped[2] > 0
    time.sleep(0.05)
    assert counts_of(counters, 2)[1] == stopped
    counters.start()
    assert wait_for_more(counters, 1, stopped)[1] > stopped[1]
    counters.close()
    counters.close()
    for call in (counters.read, counters.start, counters.stop, lambda: counters.select(1)):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_groups_that_are_not_selected_rest(busy_program: int) -> None:
    software_counters("task-clock,page-faults")
    counters = _native.Counters([0, busy_program], [[(SOFTWARE, 4, True)], FAULTS_AND_TIME])
    assert len(counters.read()) == 2 * (4 + 5) * 8
    counters.select(2)
    counters.start()
    wait_for_more(counters, 1, counts_of(counters, 2)[1])
    counters.stop()
    counters.select(1)
    words = memoryview(counters.read()).cast("Q").tolist()
    assert words == [1, 0, 0, 0] * 2
    counters.select(0)
    assert counters.read() == b""


def test_events_of_another_thread_can_be_tried(busy_program: int) -> None:
    software_counters("task-clock")
    assert _native.pmu_try(FAULTS_AND_TIME, busy_program) == (0, 0)
    assert _native.pmu_try([FAULTS_AND_TIME[0], (0xFFFF, 1, True)], busy_program)[0] != 0


def test_a_thread_that_cannot_be_counted_is_named() -> None:
    software_counters("task-clock")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    text = rf"{os.strerror(errno.ESRCH)} \(thread {process.pid}, event 0 of group 0\)"
    with pytest.raises(OSError, match=text) as raised:
        _native.Counters([0, process.pid], [FAULTS_AND_TIME])
    assert raised.value.errno == errno.ESRCH
    assert _native.pmu_try(FAULTS_AND_TIME, process.pid)[0] == errno.ESRCH
    with pytest.raises(OSError, match=r"\(thread 0, event 1 of group 1\)"):
        _native.Counters([0], [FAULTS_AND_TIME, [FAULTS_AND_TIME[0], (0xFFFF, 1, True)]])


def test_a_program_of_another_user_is_refused() -> None:
    software_counters("task-clock")
    if os.geteuid() == 0:
        pytest.skip("root may count every program")
    with pytest.raises(PermissionError, match=r"\(thread 1, event 0 of group 0\)"):
        _native.Counters([1], [FAULTS_AND_TIME])


@pytest.mark.parametrize(
    "threads, groups",
    [
        ([], [FAULTS_AND_TIME]),
        (None, [FAULTS_AND_TIME]),
        ([0] * 4097, [FAULTS_AND_TIME]),
        ([-1], [FAULTS_AND_TIME]),
        ([1 << 40], [FAULTS_AND_TIME]),
        (["1"], [FAULTS_AND_TIME]),
        ([0], []),
        ([0], [[]]),
        ([0], [[(SOFTWARE, 1)]]),
        ([0], [[SOFTWARE]]),
        ([0], [FAULTS_AND_TIME] * 33),
    ],
)
def test_arguments_that_do_not_fit(threads: object, groups: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        _native.Counters(threads, groups)  # type: ignore[arg-type]


def test_counts_of_another_programs_threads() -> None:
    """As the watching library leaves them: all groups, threads added up."""
    event = (1, 0, True)
    counters = Counters(
        [
            Group("g0", "cpu", ("CPU_CYCLES", "INST_RETIRED"), (event, event)),
            Group("sw", "software", ("task-clock",), (event,)),
        ]
    )
    found = counters.of_words([2, 100, 80, 4000, 3000, 1, 100, 100, 7])
    assert found.by_group == {0: [100, 80, 4000, 3000], 1: [100, 100, 7]}
    assert found.by_name == {"CPU_CYCLES": 4000, "INST_RETIRED": 3000, "task-clock": 7}
    unread = counters.of_words([0, 100, 80, 4000, 3000, 1, 100, 100, 7])
    assert unread.by_group == {1: [100, 100, 7]}
    for words in ([], [2, 100], [2, 100, 80, 4000, 3000]):
        assert counters.of_words(words).by_group == {}
    assert Counters().of_words([]).by_group == {}
