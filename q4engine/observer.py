"""Makes a run visible: one time stamp a call, shared by annotations, markers file, capture and trace.

>>> with observe(session, Observation(capture=Path("capture.csv"), markers=Path("markers.csv"))):
...     session.decode(prompt)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import annotate
from q4engine import __version__, machine
from q4engine.capture import Capture
from q4engine.engine import Call, Engine, Phase, Session
from q4engine.errors import Q4Error
from q4engine.operation_channels import OperationChannels
from q4engine.perf_ctl import PerfControl
from q4engine.pmu import Counters, plan_counters
from q4engine.recording import Level, Record, kv_bytes_per_position, operations, weight_bytes_per_token
from q4engine.trace import Trace

COLORS: dict[Phase, annotate.Color] = {"prefill": annotate.BLUE, "decode": annotate.ORANGE}
COST_WARNING_PERCENT = 2.0

# Records of operations are put into words between calls only when this much of them waits, else after the run.
_BACKLOG_BYTES = 64 << 20
_COMMAND_LENGTH = 2000


@dataclass(frozen=True)
class Observation:
    """What to make of a run. Paths are None where a file is not wanted.

    events: as ``--events`` has them (events.py); "none" counts nothing. cpus: where the engine's threads may run.
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


@dataclass
class Cost:
    """What observing took, and of how long a run; nanoseconds."""

    python_ns: int = 0
    native_ns: float = 0.0
    first_ns: int = 0
    last_ns: int = 0

    @property
    def percent(self) -> float | None:
        run = self.last_ns - self.first_ns
        return 100 * (self.python_ns + self.native_ns) / run if run > 0 else None


@dataclass(eq=False)
class Observer:
    """Told of every call by the session. ``live`` sinks see a record at once, ``deferred`` ones when there is time."""

    session: Session
    level: Level
    counters: Counters
    announce: list[Callable[[str, Call, int], None]] = field(default_factory=list)
    live: list[Sink] = field(default_factory=list)
    deferred: list[Sink] = field(default_factory=list)
    perf: PerfControl | None = None
    cost: Cost = field(default_factory=Cost)
    last_end: tuple[int, int] | None = None
    """End of the last call, nanoseconds, and the tokens in the cache then."""

    def __post_init__(self) -> None:
        self._n_calls = 0
        self._n_phase_calls: dict[Phase, int] = {"prefill": 0, "decode": 0}
        self._start_ns = 0
        self._counted: tuple[int, ...] = ()
        self._backlog: list[Record] = []
        self._backlog_bytes = 0
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
            self.counters = Counters(state=f"counters cannot be opened for all threads: {error.strerror}")
            recorder.record(int(self.level), [])
        self._select("prefill")
        stamp_ns, reading_ns = recorder.record_cost()
        n_ops = len(self.session.engine.graph.ops)
        marks = n_ops if self.session.engine.n_threads == 1 else 2 * n_ops
        n_stamps = 2 + (marks if self.level > Level.CALLS else 0)
        n_readings = 2 + (marks if self.level == Level.COUNTED_OPERATIONS else 0)
        self._native_ns = n_stamps * stamp_ns + n_readings * reading_ns

    def before(self, call: Call) -> None:
        entered = annotate.monotonic_raw_ns()
        if self.perf is not None:
            self.perf.enter(call.phase)
        if self.level:
            self._select(call.phase)
        self._start_ns = annotate.monotonic_raw_ns()
        text = f"past {call.n_past}, n_eval {call.n_eval}"
        for announce in self.announce:
            announce(text, call, self._start_ns)
        self.cost.first_ns = self.cost.first_ns or entered
        self.cost.python_ns += annotate.monotonic_raw_ns() - entered

    def after(self, call: Call) -> None:
        entered = annotate.monotonic_raw_ns()
        record = self._record(call, entered)
        self._n_calls += 1
        self._n_phase_calls[call.phase] += 1
        self.last_end = (record.end_ns, call.n_past + call.n_eval)
        for sink in self.live:
            sink.write(record)
        if self.deferred:
            self._backlog.append(record)
            self._backlog_bytes += record.n_bytes
            if self._backlog_bytes > _BACKLOG_BYTES:
                self.drain()
        self.cost.last_ns = annotate.monotonic_raw_ns()
        self.cost.python_ns += self.cost.last_ns - entered
        self.cost.native_ns += self._native_ns

    def drain(self) -> None:
        """Gives the deferred sinks what waits for them."""
        backlog, self._backlog, self._backlog_bytes = self._backlog, [], 0
        for record in backlog:
            for sink in self.deferred:
                sink.write(record)

    def stop(self) -> None:
        """Hears no more of the session's calls."""
        if self in self.session.observers:
            self.session.observers.remove(self)
        if self.level and self.session.recorder is not None:
            self.session.recorder.record(0, [])

    def _select(self, phase: Phase) -> None:
        """Groups that do not fit together take turns, in each phase anew."""
        counted = self.counters.turn(self._n_phase_calls[phase])
        if counted != self._counted:
            self.session.recorder.select(sum(1 << index for index in counted))  # type: ignore[union-attr]
            self._counted = counted

    def _record(self, call: Call, now_ns: int) -> Record:
        if not self.level:
            return Record(self._n_calls, call, self._start_ns, now_ns)
        _, end_ns, stamps, facts, counts = self.session.recorder.recorded()  # type: ignore[union-attr]
        return Record(self._n_calls, call, self._start_ns, end_ns, self._counted, stamps, facts, counts)


@contextmanager
def observe(session: Session, what: Observation, note: Callable[[str], None] = lambda text: None) -> Iterator[Observer]:
    """Observes the session's calls in this block, then completes the files, however it ends.

    note: takes one line for the user where something cannot be had. Q4Error where a file or pipe cannot be opened.
    """
    with ExitStack() as stack:
        observer = Observer(session, what.level, _counters(session, what, note))
        observer.start()
        stack.callback(observer.stop)
        _attach_annotations(observer, what, stack)
        _attach_markers(observer, what, stack)
        _attach_files(observer, what, stack, note)
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

    def end() -> None:
        """A marker of no tokens ends the last call."""
        if observer.last_end is not None:
            time_ns, n_past = observer.last_end
            markers.write(time_ns, n_past, 0, "end")

    stack.callback(end)
    observer.announce.append(lambda text, call, time_ns: markers.write(time_ns, call.n_past, call.n_eval, call.phase))


def _attach_files(observer: Observer, what: Observation, stack: ExitStack, note: Callable[[str], None]) -> None:
    engine = observer.session.engine
    plan = operations(engine)
    header = capture_header(engine, what.command)
    if what.capture is not None:
        capture = Capture(what.capture, header, plan, observer.counters, what.per_op)
        stack.callback(lambda: capture.close(observer.cost.percent))
        (observer.deferred if what.per_op else observer.live).append(capture)
    if what.trace is not None:
        trace = Trace(what.trace, header, plan, observer.counters, kv_bytes_per_position(engine))
        stack.callback(trace.close)
        observer.deferred.append(trace)
    stack.callback(observer.drain)
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
