"""Makes a run visible: one time stamp a call, shared by annotations, markers file, capture and trace.

>>> with observe(session, Observation(capture=Path("capture.csv"), markers=Path("markers.csv"))):
...     session.decode(prompt)
"""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import annotate
from q4engine.cpu_time import Moment, read_moment, taken_percents
from q4engine.engine import PHASES, Call, Phase, Session
from q4engine.errors import Q4Error
from q4engine.interrupts import uninterrupted
from q4engine.profiling.capture_file import Capture
from q4engine.profiling.capture_header import capture_header
from q4engine.profiling.counters import Counters
from q4engine.profiling.markers import Markers
from q4engine.profiling.perf_ctl import PerfControl
from q4engine.profiling.perfetto import Trace
from q4engine.profiling.plan import plan_counters
from q4engine.profiling.recording import Level, Record, kv_bytes_per_position, operations
from q4engine.profiling.streamline import PHASE_COLORS, OperationChannels
from q4engine.profiling.taken_by_phase import TakenByPhase

if TYPE_CHECKING:
    from q4engine._native import Recorded

COST_WARNING_PERCENT = 2.0

_OFTEN_NS = 500_000_000
"""How often the ``often`` sinks are given what was recorded."""
_LATE_BYTES = 1 << 20
"""Records that are kept for the ``late`` sinks until they are written in the middle of a run; a Ctrl-C waits for it."""


@dataclass(frozen=True)
class Observation:
    """What to make of a run. Paths are None where a file is not wanted.

    events: as ``--events`` has them (events.py); "none" counts nothing. cpus: where the engine's threads may run.
    read_peak_gbps: 10⁹ bytes a second that its threads can read at best, where that was measured.
    """

    streamline: annotate.Mode = "off"
    operation_channels: bool = False
    markers: Path | None = None
    capture: Path | None = None
    per_op: bool = False
    events: str = "default"
    trace: Path | None = None
    perf_ctl: str | None = None
    perf_phase: Phase = "decode"
    cpus: Sequence[int] | None = None
    command: str | None = None
    read_peak_gbps: float | None = None
    endpoints: annotate.Endpoints = field(default_factory=annotate.Endpoints)

    @property
    def level(self) -> Level:
        """What the native module has to record for it."""
        if self.capture and self.per_op:
            return Level.COUNTED_OPERATIONS
        if self.trace or (self.operation_channels and self.streamline != "off"):
            return Level.OPERATIONS
        return Level.CALLS if self.capture or self.markers else Level.OFF

    @property
    def counts(self) -> bool:
        return bool(self.capture or self.trace)


class Sink(Protocol):
    def write(self, record: Record) -> None: ...


# CLOCK_MONOTONIC_RAW without a Python function around it: between two calls the caches are cold, so that any code
# takes several times as long as it does in a loop.
_now = partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC_RAW)


class Announced(NamedTuple):
    """A call that ``before`` saw and whose record is still to come.

    counted: the groups that count in it. end_ns: 0 but where nothing records, and ``after`` saw its end.
    """

    call: Call
    start_ns: int
    counted: tuple[int, ...]
    end_ns: int = 0


@dataclass
class Cost:
    """What observing took of a run, in nanoseconds."""

    observing_ns: float = 0.0
    first_ns: int = 0
    last_ns: int = 0

    @property
    def percent(self) -> float | None:
        run = self.last_ns - self.first_ns
        return 100 * self.observing_ns / run if run > 0 else None


class Observer:
    """Takes what the session's calls leave behind, and gives it to the sinks.

    The native recorder notes all there is to know of a call, and this class takes its log now and then. It does
    nothing around a call unless somebody has to hear of that call before it starts or as soon as it is over: between
    two calls the caches are full of weights, so that a few lines of Python take 10 µs and more.

    ``announce`` is told before each call; ``live`` sinks hear of a call right after it, ``often`` sinks within half a
    second, ``late`` ones (which write much) after the run.
    """

    def __init__(self, session: Session, level: Level, counters: Counters) -> None:
        self.session = session
        self.level = level
        self.counters = counters
        self.announce: list[Callable[[str, Call, int], None]] = []
        self.live: list[Sink] = []
        self.often: list[Sink] = []
        self.late: list[Sink] = []
        self.perf: PerfControl | None = None
        self.cost = Cost()
        self._n_calls = 0
        self._n_phase_calls: dict[Phase, int] = dict.fromkeys(PHASES, 0)
        self._counted: tuple[int, ...] = ()
        self._announced: deque[Announced] = deque()
        self._late: deque[Record] = deque()
        self._late_bytes = 0
        self._mark_ns = self._reading_ns = 0.0
        self._moments: list[Moment] = []
        self._by_phase: TakenByPhase | None = None

    def start(self) -> None:
        """Begins to record. Q4Error where every operation is to be captured and the backend tells of none."""
        recorder = self.session.recorder
        if self.level == Level.OFF or recorder is None:
            if self.level == Level.COUNTED_OPERATIONS:
                raise Q4Error("--per-op: operations are timed by the native backend alone, not by NumPy's")
            self.level = Level.OFF
            return
        try:
            recorder.record(int(self.level), self.counters.native_groups)
        except OSError as error:
            hint = "; ulimit -n allows more" if error.errno == errno.EMFILE else ""
            self.counters = Counters(state=f"they cannot be opened for every thread: {error.strerror}{hint}")
            recorder.record(int(self.level), [])
        self._select("prefill")
        self._mark_ns, self._reading_ns = recorder.record_cost()

    def attach(self) -> None:
        """Takes part in the session's calls from now on; the sinks are added before."""
        takes_turns = len(self.counters.rotation) > 1
        if not self.level or self.announce or self.live or self.perf or takes_turns:
            self.session.observers.append(self)
        if self.level:
            self.session.recorder.remind(_OFTEN_NS if self.often else 0, _LATE_BYTES)  # type: ignore[union-attr]
            self.session.collect = self._collect

    def before(self, call: Call) -> None:
        began_ns = _now()
        if self.perf is not None:
            self.perf.enter(call.phase)
        if len(self.counters.rotation) > 1:
            self._select(call.phase)
        start_ns = _now()
        self._announced.append(Announced(call, start_ns, self._counted))
        if self.announce:
            text = f"past {call.n_past}, n_eval {call.n_eval}"
            for announce in self.announce:
                announce(text, call, start_ns)
            start_ns = _now()
        self.cost.observing_ns += start_ns - began_ns

    def after(self, call: Call) -> None:
        ended_ns = _now()
        self._n_phase_calls[call.phase] += 1
        if not self.level:
            self._announced[-1] = self._announced[-1]._replace(end_ns=ended_ns)
        if self.live or not self.level:
            self.drain()
        self.cost.observing_ns += _now() - ended_ns

    def drain(self) -> None:
        """Gives the sinks what was recorded; the ``late`` ones only once much of it waits for them.

        Q4Error with the names of all that failed.
        """
        failed: list[str] = []
        with uninterrupted():  # each call is told to all sinks or to none
            for record in self._records():
                self._n_calls += 1
                self.cost.first_ns = self.cost.first_ns or record.start_ns
                self.cost.last_ns = record.end_ns
                failed += _told(record, self.live) + _told(record, self.often)
                if self.late:
                    self._late.append(record)
                    self._late_bytes += record.n_bytes
        _raise_any(failed)
        if self._late_bytes > _LATE_BYTES:
            self.drain_late()

    def drain_late(self) -> None:
        """Gives the ``late`` sinks what waits for them."""
        self._late_bytes = 0
        failed: list[str] = []
        while self._late:
            with uninterrupted():
                record = self._late.popleft()
                failed += _told(record, self.late)
        _raise_any(failed)

    def finish(self) -> None:
        """After the run: takes no more part in the session's calls, and gives all sinks what waits for them."""
        if self in self.session.observers:
            self.session.observers.remove(self)
        self.session.collect = None
        self.session.tell_phases(None)
        failed: list[str] = []
        _guarded(self.drain, failed)
        _guarded(self.drain_late, failed)
        _raise_any(failed)

    def look(self, cpus: Sequence[int] | None) -> None:
        """Takes the CPUs' time, before the first call, from then on where a phase begins, and after the last."""
        self._moments.append(read_moment(cpus))
        if self._by_phase is None:
            self._by_phase = TakenByPhase(cpus)
            self.session.tell_phases(self._by_phase.begin)
        else:
            self._by_phase.end()
            self.cost.observing_ns += self._by_phase.spent_ns

    def taken(self) -> dict[str, float]:
        """What others took of the CPUs between the looks, and in each phase, as a capture's header has it."""
        if not self._moments or self._by_phase is None:
            return {}
        return taken_percents(self._moments[0], self._moments[-1]) | self._by_phase.percents()

    def stop(self) -> None:
        """Ends the recording."""
        if self.level and self.session.recorder is not None:
            self.session.recorder.record(0, [])

    def _select(self, phase: Phase) -> None:
        """Has the groups count whose turn it is; the turns of each phase are counted apart."""
        counted = self.counters.turn(self._n_phase_calls[phase])
        if counted != self._counted:
            self.session.recorder.select(sum(1 << index for index in counted))  # type: ignore[union-attr]
            self._counted = counted

    def _collect(self) -> None:
        began_ns = _now()
        self.drain()
        self.cost.observing_ns += _now() - began_ns

    def _records(self) -> Iterator[Record]:
        if not self.level:
            while self._announced:
                item = self._announced.popleft()
                if item.end_ns:  # not of a call that failed
                    yield Record(self._n_calls, item.call, item.start_ns, item.end_ns)
            return
        recorded: Recorded
        for recorded in self.session.recorder.recorded():  # type: ignore[union-attr]
            phase = PHASES[recorded["phase"] - 1]
            call = Call(recorded["n_past"], recorded["n_eval"], phase, recorded["all_logits"])
            start_ns, counted = self._announcement(recorded)
            record = Record(
                self._n_calls, call, start_ns, recorded["end_ns"], counted,
                recorded["stamps"], recorded["facts"], recorded["counts"], recorded["tallies"],
            )  # fmt: skip
            self.cost.observing_ns += recorded["own_ns"] + self._marks_ns(record)
            yield record

    def _announcement(self, recorded: Recorded) -> tuple[int, tuple[int, ...]]:
        """Start of a recorded call and the groups that counted in it.

        As the last announcement before it said, where calls are announced: those before that one were of calls that
        failed, which leave no record.
        """
        start_ns, counted = recorded["start_ns"], self._counted
        while self._announced and self._announced[0].start_ns <= recorded["start_ns"]:
            _, start_ns, counted, _ = self._announced.popleft()
        return start_ns, counted

    def _marks_ns(self, record: Record) -> float:
        """What the marks of the call's busiest thread took, in nanoseconds."""
        if self.level == Level.CALLS:
            return 0.0
        reading_ns = self._reading_ns if self.level == Level.COUNTED_OPERATIONS else 0.0
        return record.n_looks * (self._mark_ns + reading_ns)


@contextmanager
def observe(session: Session, what: Observation, note: Callable[[str], None] = lambda text: None) -> Iterator[Observer]:
    """Observes the session's calls in this block, then completes the files, however it ends.

    note: takes one line for the user where something cannot be had. Q4Error where a file or pipe cannot be opened.
    """
    with _all_failures(note) as failed, ExitStack() as stack:
        counters = _counters(session, what, note)
        observer = Observer(session, what.level, counters)
        observer.start()
        if observer.counters is not counters:
            note(f"note: no counters: {observer.counters.state}")
        stack.callback(observer.stop)
        stack.callback(_warn_of_cost, observer, note)
        _attach_annotations(observer, what, stack)
        _attach_markers(observer, what, stack, failed)
        _attach_files(observer, what, stack, failed)
        stack.callback(_guarded, observer.finish, failed)
        if what.capture is not None:
            stack.callback(observer.look, what.cpus)
        if what.perf_ctl:  # last, so that it is the first to end: perf does not count what is written after the run
            observer.perf = PerfControl(what.perf_ctl, what.perf_phase)
            stack.callback(observer.perf.close)
        if what.capture is not None:
            observer.look(what.cpus)
        observer.attach()
        yield observer


def _told(record: Record, sinks: list[Sink]) -> list[str]:
    """Tells all sinks, those too that come after one that fails: what is wrong with it is returned, and it is left out
    from then on."""
    failed = []
    for sink in list(sinks):
        try:
            sink.write(record)
        except Q4Error as error:
            failed.append(str(error))
            sinks.remove(sink)
    return failed


def _raise_any(failed: list[str]) -> None:
    if failed:
        raise Q4Error("; ".join(failed))


@contextmanager
def _all_failures(note: Callable[[str], None]) -> Iterator[list[str]]:
    """What is put into the list is told when the block ends, with the Q4Error that ends it if one does."""
    failed: list[str] = []
    try:
        yield failed
    except Q4Error as error:
        if failed:
            raise Q4Error("; ".join([str(error), *failed])) from None
        raise
    except BaseException:  # a signal's: that is what the command says at its end
        for text in failed:
            note(f"error: {text}")
        raise
    _raise_any(failed)


def _guarded(close: Callable[[], None], failed: list[str]) -> None:
    """Lets the others close too."""
    try:
        close()
    except Q4Error as error:
        failed.append(str(error))


def _counters(session: Session, what: Observation, note: Callable[[str], None]) -> Counters:
    from q4engine import _native

    if session.recorder is None:
        return Counters(state="the NumPy backend has none")
    if not what.counts:
        return Counters(state="not asked for")
    counters = plan_counters(what.events, _native.pmu_try, cpus=what.cpus)
    if counters.state != "available" and what.events != "none":
        note(f"note: no counters: {counters.state}")
    elif what.events != "default" and counters.missing:
        note("note: not counted: " + ", ".join(f"{name} ({why})" for name, why in counters.missing))
    if len(counters.rotation) > 1:
        note(f"note: the events need {len(counters.rotation)} groups, which take turns from call to call")
    return counters


def _attach_annotations(observer: Observer, what: Observation, stack: ExitStack) -> None:
    if what.streamline == "off":
        return
    streamline = stack.enter_context(annotate.streamline(what.streamline, what.endpoints))
    observer.announce.append(
        lambda text, call, time_ns: streamline.marker(text, PHASE_COLORS[call.phase], time_ns=time_ns)
    )
    if what.operation_channels:
        engine = observer.session.engine
        observer.live.append(OperationChannels(streamline, operations(engine), kv_bytes_per_position(engine)))


def _attach_markers(observer: Observer, what: Observation, stack: ExitStack, failed: list[str]) -> None:
    if what.markers is None:
        return
    sink = Markers(what.markers)
    stack.callback(_guarded, sink.close, failed)
    observer.often.append(sink)


def _attach_files(observer: Observer, what: Observation, stack: ExitStack, failed: list[str]) -> None:
    engine = observer.session.engine
    plan = operations(engine)
    header = capture_header(engine, what.command)
    if what.read_peak_gbps is not None:
        header["read_peak_gbps"] = f"{what.read_peak_gbps:.2f}"
    if what.capture is not None:
        capture = Capture(what.capture, header, plan, observer.counters, what.per_op)
        stack.callback(_guarded, lambda: capture.close(observer.cost.percent, observer.taken()), failed)
        (observer.late if what.per_op else observer.often).append(capture)
    if what.trace is not None:
        trace = Trace(what.trace, header, plan, observer.counters, kv_bytes_per_position(engine))
        stack.callback(_guarded, trace.close, failed)
        observer.late.append(trace)


def _warn_of_cost(observer: Observer, note: Callable[[str], None]) -> None:
    percent = observer.cost.percent
    if observer.level == Level.COUNTED_OPERATIONS and percent is not None and percent > COST_WARNING_PERCENT:
        note(f"note: capturing every operation took {percent:.1f} % of the run; capture calls alone for exact times")
