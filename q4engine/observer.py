"""Makes a run visible: one time stamp a call, shared by annotations, markers file, capture and trace.

>>> with observe(session, Observation(capture=Path("capture.csv"), markers=Path("markers.csv"))):
...     session.decode(prompt)
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import annotate
from q4engine import __version__, machine
from q4engine.capture import Capture
from q4engine.engine import Call, Engine, Phase, Session
from q4engine.errors import Q4Error
from q4engine.operation_channels import OperationChannels
from q4engine.perf_ctl import PerfControl
from q4engine.pmu import Counters, core_pmus, plan_counters, slots_of
from q4engine.recording import Level, Record, kv_bytes_per_position, operations, weight_bytes_per_token
from q4engine.trace import Trace

COLORS: dict[Phase, annotate.Color] = {"prefill": annotate.BLUE, "decode": annotate.ORANGE}
COST_WARNING_PERCENT = 2.0

# What is observed waits to be put into words: the short forms for this long, operations until the run is over, unless
# this much of them has gathered.
_OFTEN_NS = 500_000_000
_LATE_BYTES = 64 << 20
_COMMAND_LENGTH = 2000


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
        return Level.CALLS if self.capture else Level.OFF

    @property
    def counts(self) -> bool:
        return bool(self.capture or self.trace)


class Sink(Protocol):
    def write(self, record: Record) -> None: ...


# CLOCK_MONOTONIC_RAW without a Python function around it: between two calls the caches are cold, and all that is
# done there costs several times what it costs in a loop.
_now = partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC_RAW)

Recorded = tuple[int, int, bytes, bytes, bytes]
Waiting = tuple[Call, int, int, tuple[int, ...], Recorded | None]
"""A call as it waits to be put into words: stamps of its start and of its observation's end, groups, recording."""


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
    """Told of every call by the session; keeps what it hears and hands it on when there is time.

    ``announce`` is told before each call; ``live`` sinks see a call right after it, ``often`` sinks within half a
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
        self._n_phase_calls: dict[Phase, int] = {"prefill": 0, "decode": 0}
        self._start_ns = 0
        self._counted: tuple[int, ...] = ()
        self._waiting: list[Waiting] = []
        self._late: list[Record] = []
        self._late_bytes = 0
        self._drained_ns = 0
        self._native_ns = 0.0

    def start(self) -> None:
        """Begins to record. Q4Error where every operation is to be captured and the backend tells of none."""
        recorder = self.session.recorder
        if self.level == Level.OFF or recorder is None:
            if self.level == Level.COUNTED_OPERATIONS:
                raise Q4Error("--per-op: operations are timed by the native backend alone, not by NumPy's")
            self.level = Level.OFF
            return
        try:
            recorder.record(int(self.level), self.counters.numbers)
        except OSError as error:
            hint = "; ulimit -n allows more" if error.errno == errno.EMFILE else ""
            self.counters = Counters(state=f"they cannot be opened for every thread: {error.strerror}{hint}")
            recorder.record(int(self.level), [])
        self._select("prefill")
        stamp_ns, reading_ns = recorder.record_cost()
        n_ops = len(self.session.engine.graph.ops)
        marks = n_ops if self.session.engine.n_threads == 1 else 2 * n_ops
        n_stamps = 2 + (marks if self.level > Level.CALLS else 0)
        n_readings = 2 + (marks if self.level == Level.COUNTED_OPERATIONS else 0)
        self._native_ns = n_stamps * stamp_ns + n_readings * reading_ns

    def before(self, call: Call) -> None:
        if self.perf is not None:
            self.perf.enter(call.phase)
        if len(self.counters.rotation) > 1:
            self._select(call.phase)
        self._start_ns = _now()
        if self.announce:
            text = f"past {call.n_past}, n_eval {call.n_eval}"
            for announce in self.announce:
                announce(text, call, self._start_ns)

    def after(self, call: Call) -> None:
        if not (self.live or self.often or self.late):
            return
        recorded = self.session.recorder.recorded() if self.level else None  # type: ignore[union-attr]
        end_ns = _now()
        self._waiting.append((call, self._start_ns, end_ns, self._counted, recorded))
        self._n_phase_calls[call.phase] += 1
        if self.live or end_ns - self._drained_ns > _OFTEN_NS:
            self.drain()
            if recorded is not None:
                self.cost.observing_ns += _now() - end_ns

    def drain(self) -> None:
        """Puts into words what waits, but for the ``late`` sinks, unless much waits for them."""
        self._drained_ns = _now()
        waiting, self._waiting = self._waiting, []
        for item in waiting:
            record = self._record(*item)
            for sink in (*self.live, *self.often):
                sink.write(record)
            if self.late:
                self._late.append(record)
                self._late_bytes += record.n_bytes
        if self._late_bytes > _LATE_BYTES:
            self.drain_late()

    def drain_late(self) -> None:
        """Gives the ``late`` sinks what waits for them."""
        late, self._late, self._late_bytes = self._late, [], 0
        for record in late:
            for sink in self.late:
                sink.write(record)

    def finish(self) -> None:
        """After the run: everything that waits, to everyone. Hears no more of the session's calls."""
        if self in self.session.observers:
            self.session.observers.remove(self)
        self.drain()
        self.drain_late()

    def stop(self) -> None:
        """Ends the recording."""
        if self.level and self.session.recorder is not None:
            self.session.recorder.record(0, [])

    def _select(self, phase: Phase) -> None:
        """Groups that do not fit together take turns, in each phase anew."""
        counted = self.counters.turn(self._n_phase_calls[phase])
        if counted != self._counted:
            self.session.recorder.select(sum(1 << index for index in counted))  # type: ignore[union-attr]
            self._counted = counted

    def _record(
        self, call: Call, start_ns: int, observed_ns: int, counted: tuple[int, ...], recorded: Recorded | None
    ) -> Record:
        number = self._n_calls
        self._n_calls += 1
        self.cost.first_ns = self.cost.first_ns or start_ns
        self.cost.last_ns = observed_ns
        if recorded is None:
            return Record(number, call, start_ns, observed_ns)
        native_start_ns, end_ns, stamps, facts, counts = recorded
        self.cost.observing_ns += (native_start_ns - start_ns) + (observed_ns - end_ns) + self._native_ns
        return Record(number, call, start_ns, end_ns, counted, stamps, facts, counts)


@contextmanager
def observe(session: Session, what: Observation, note: Callable[[str], None] = lambda text: None) -> Iterator[Observer]:
    """Observes the session's calls in this block, then completes the files, however it ends.

    note: takes one line for the user where something cannot be had. Q4Error where a file or pipe cannot be opened.
    """
    with ExitStack() as stack:
        counters = _counters(session, what, note)
        observer = Observer(session, what.level, counters)
        observer.start()
        if observer.counters is not counters:
            note(f"note: no counters: {observer.counters.state}")
        stack.callback(observer.stop)
        _attach_annotations(observer, what, stack)
        _attach_markers(observer, what, stack)
        _attach_files(observer, what, stack, note)
        stack.callback(observer.finish)
        if what.perf_ctl:  # last, so that it is the first to end: perf does not count what is written after the run
            observer.perf = PerfControl(what.perf_ctl, what.perf_phase)
            stack.callback(observer.perf.close)
        session.observers.append(observer)
        yield observer


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
    observer.announce.append(lambda text, call, time_ns: streamline.marker(text, COLORS[call.phase], time_ns=time_ns))
    if what.operation_channels:
        engine = observer.session.engine
        observer.live.append(OperationChannels(streamline, operations(engine), kv_bytes_per_position(engine)))


def _attach_markers(observer: Observer, what: Observation, stack: ExitStack) -> None:
    if what.markers is None:
        return
    try:
        markers = stack.enter_context(annotate.MarkerFile(what.markers))
    except OSError as error:
        raise Q4Error(f"{what.markers}: the markers cannot be written: {error.strerror}") from None

    sink = _Markers(markers)
    stack.callback(sink.end)
    observer.often.append(sink)


class _Markers:
    """The markers file, as a sink."""

    def __init__(self, markers: annotate.MarkerFile) -> None:
        self._markers = markers
        self._last: Record | None = None

    def write(self, record: Record) -> None:
        call = record.call
        self._markers.write(record.start_ns, call.n_past, call.n_eval, call.phase)
        self._last = record

    def end(self) -> None:
        """A marker of no tokens ends the last call."""
        if self._last is not None:
            call = self._last.call
            self._markers.write(self._last.end_ns, call.n_past + call.n_eval, 0, "end")


def _attach_files(observer: Observer, what: Observation, stack: ExitStack, note: Callable[[str], None]) -> None:
    engine = observer.session.engine
    plan = operations(engine)
    header = capture_header(engine, what.command)
    if what.read_peak_gbps is not None:
        header["read_peak_gbps"] = f"{what.read_peak_gbps:.2f}"
    if what.capture is not None:
        capture = Capture(what.capture, header, plan, observer.counters, what.per_op)
        stack.callback(lambda: capture.close(observer.cost.percent))
        (observer.late if what.per_op else observer.often).append(capture)
    if what.trace is not None:
        trace = Trace(what.trace, header, plan, observer.counters, kv_bytes_per_position(engine))
        stack.callback(trace.close)
        observer.late.append(trace)
    stack.callback(lambda: _warn_of_cost(observer, note))


def _warn_of_cost(observer: Observer, note: Callable[[str], None]) -> None:
    percent = observer.cost.percent
    if observer.level == Level.COUNTED_OPERATIONS and percent is not None and percent > COST_WARNING_PERCENT:
        note(f"note: capturing every operation took {percent:.1f} % of the run; capture calls alone for exact times")


def capture_header(engine: Engine, command: str | None) -> dict[str, object]:
    """Keys of docs/capture-format.md that the engine and the machine give; None where not known."""
    kernels = dict.fromkeys(name for choice in engine.kernels for name in (choice.gemv, choice.gemm))
    return {
        "q4engine_version": __version__,
        "commit": machine.commit(),
        "model": model_name(engine),
        "model_file": engine.gguf.path.name,
        "bytes_per_token": weight_bytes_per_token(engine),
        "kv_bytes_per_token": kv_bytes_per_position(engine),
        "n_layers": engine.config.n_layers,
        "n_threads": engine.n_threads,
        "kernels": ",".join(kernels) or None,
        "arch": machine.architecture(),
        "cpu": machine.cpu_name(),
        "midr": ",".join(f"0x{midr:08x}" for midr in machine.midrs()) or None,
        "slots": slots_of(core_pmus()),
        "governor": ",".join(machine.governors()) or None,
        "command": None if command is None else command[:_COMMAND_LENGTH],
        "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def model_name(engine: Engine) -> str:
    """Name, size and quantisation, as people say it: smollm2 135M Q4_0."""
    metadata = engine.gguf.metadata
    name = metadata.get("general.basename") or metadata.get("general.name") or engine.config.architecture
    # of the layers: the output matrix often keeps another type
    weights = [op.weight for op in engine.graph.ops if op.weight >= 0 and op.layer >= 0]
    types = [engine.graph.weights[index][0].type.name for index in weights]
    quantisation = max(dict.fromkeys(types), key=types.count) if types else None
    size = metadata.get("general.size_label")
    return " ".join(str(part) for part in (name, size, quantisation) if part)
