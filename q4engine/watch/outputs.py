"""The files of a watched program: what `q4engine run` leaves, of calls that another engine made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import annotate
from annotate import TraceWriter
from q4engine.errors import Q4Error
from q4engine.profiling.capture_file import CaptureFile, csv_line, of_cycles, one_line
from q4engine.profiling.capture_header import machine_header
from q4engine.profiling.counters import Counters, Counts
from q4engine.profiling.recording import BARRIER
from q4engine.watch.addresses import AddressMap
from q4engine.watch.records import CallKind, Process, WatchedCall
from q4engine.watch.spans import Span, ThreadSpans, Watched, walk
from q4engine.watch.watched_model import describe_model

MOST_SETS = 64
"""Contexts that have files of their own."""
_SETS_AT_ONCE = 8  # each has up to four files open
MORE_COLUMNS = ("sequences", "node", "operands")
"""Of a capture's rows beside those of our own: docs/capture-format.md."""


@dataclass(frozen=True)
class Outputs:
    """Files to write, None where not wanted. counters: what was counted on the program's threads.

    taken: what others took of the CPUs, in percent, by key. read_peak: measures it (`memory_peak_gbps`), None: nobody.
    n_warmup: calls of each context that warmed it up.
    """

    capture: Path | None = None
    per_op: bool = False
    markers: Path | None = None
    trace: Path | None = None
    address_map: Path | None = None
    command: str | None = None
    counters: Counters = field(default_factory=Counters)
    taken: Mapping[str, float] = field(default_factory=dict)
    read_peak: Callable[[int, int], float | None] | None = None
    n_warmup: int = 0

    @property
    def of_operations(self) -> bool:
        """Whether some file is to tell more than calls."""
        return self.per_op or self.trace is not None or self.address_map is not None

    def phase_of(self, number: int, call: WatchedCall) -> str:
        """The label of a context's call of this number, from 0."""
        return "warmup" if number < self.n_warmup else phase_of(call)


class Written(NamedTuple):
    """names: of the captures, or of the first kind of file that was wanted. n_contexts: that there were."""

    names: list[str]
    n_contexts: int


class _Sink(Protocol):
    def write(self, number: int, watched: Watched) -> None: ...
    def close(self, cut_off: bool) -> None: ...


def phase_of(call: WatchedCall) -> str:
    """A label by what was evaluated; analysis never reasons from it."""
    if call.kind == CallKind.ENCODE:
        return "encode"
    return "prefill" if call.n_eval > max(1, call.n_sequences) else "decode"


def contexts(process: Process) -> list[list[WatchedCall]]:
    """The calls of each context, the one that evaluated the most tokens first. Graphs without tokens are left out."""
    found: dict[int, list[WatchedCall]] = {}
    for call in process.calls:
        if call.kind != CallKind.OTHER and call.n_eval > 0:
            found.setdefault(call.context, []).append(call)
    return sorted(found.values(), key=lambda calls: -sum(call.n_eval for call in calls))


def numbered(path: Path, number: int) -> Path:
    """run.csv, run-2.csv, run-3.csv, …"""
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def write(what: Outputs, processes: Sequence[Process]) -> Written:
    """Writes the files, a set of them for each context of each process, of more than `MOST_SETS` for those that
    evaluated the most tokens. Q4Error where one cannot be written."""
    found = [(process, calls) for process in processes for calls in contexts(process)]
    found.sort(key=lambda pair: -sum(call.n_eval for call in pair[1]))
    if what.read_peak is not None:
        what = replace(what, read_peak=cache(what.read_peak))
    numbers = list(enumerate(found[:MOST_SETS], 1))
    for process in processes:
        mine = [(number, calls) for number, (of, calls) in numbers if of is process]
        for at in range(0, len(mine), _SETS_AT_ONCE):
            _write_contexts(what, process, mine[at : at + _SETS_AT_ONCE])
    first = what.capture or what.markers or what.trace or what.address_map
    return Written([] if first is None else [numbered(first, number).name for number, _ in numbers], len(found))


def _write_contexts(what: Outputs, process: Process, mine: Sequence[tuple[int, list[WatchedCall]]]) -> None:
    """The sets of these numbers, in one walk through the process's calls."""
    wanted: dict[int, tuple[int, list[_Sink]]] = {}
    with ExitStack() as stack:
        for number, calls in mine:
            sinks = _sinks(what, number, process, calls, stack)
            wanted |= {id(call): (index, sinks) for index, call in enumerate(calls)}
        for watched in walk(process, wanted):
            index, sinks = wanted[id(watched.call)]
            for sink in sinks:
                sink.write(index, watched)


def _sinks(what: Outputs, number: int, process: Process, calls: list[WatchedCall], stack: ExitStack) -> list[_Sink]:
    """The files of a context, each closed with the stack."""
    header = _header(what, process, calls)
    sinks: list[_Sink] = []

    def add(sink: _Sink) -> None:
        sinks.append(sink)
        stack.callback(sink.close, process.unfinished > 0 or process.error != 0)

    if what.capture is not None:
        add(_Capture(numbered(what.capture, number), header, what, _cost_percent(process, calls)))
    if what.markers is not None:
        add(_Markers(numbered(what.markers, number), what))
    if what.trace is not None:
        add(_Trace(numbered(what.trace, number), process, header, what))
    if what.address_map is not None:
        add(AddressMap(numbered(what.address_map, number)))
    return sinks


def _header(what: Outputs, process: Process, calls: list[WatchedCall]) -> dict[str, object]:
    libraries = [Path(path).name for path in process.noted("library")]
    others = [call for call in process.calls if call.kind == CallKind.OTHER]
    versions = process.noted("ggml_version") + process.noted("ggml_commit")
    keys: dict[str, object] = {
        "engine": next(iter(process.noted("engine")), "llama.cpp"),
        "engine_version": " ".join(version for version in versions if version != "unknown") or None,
        "engine_library": ",".join(libraries) or None,
        "process": process.number,
        "probe": next(iter(process.noted("probe")), None),
        **describe_model(process, calls),
        **machine_header(what.command),
    }
    if what.capture is not None and (peak := _read_peak(what, keys)) is not None:
        keys["read_peak_gbps"] = f"{peak:.2f}"
    if others:
        keys["other_graphs"] = f"{len(others)} that evaluate no tokens, {_seconds(others):.3f} s"
    return keys


def _read_peak(what: Outputs, keys: Mapping[str, object]) -> float | None:
    """On as many threads as the operations had; without operations nobody knows how many."""
    n_bytes, n_threads = keys.get("bytes_per_token"), keys.get("n_threads")
    if what.read_peak is None or not isinstance(n_bytes, int) or not isinstance(n_threads, int):
        return None
    return what.read_peak(n_bytes, n_threads)


def _seconds(calls: Iterable[WatchedCall]) -> float:
    return sum(call.end_ns - call.start_ns for call in calls) / 1e9


def _cost_percent(process: Process, calls: list[WatchedCall]) -> float | None:
    """What recording took of the time from the first call to the last, by its own account."""
    run = calls[-1].end_ns - calls[0].start_ns
    of_slot = process.operations.get(calls[0].slot)
    marks = 0 if of_slot is None else len(of_slot)
    took = sum(call.own_ns for call in calls) + marks * process.operation_ns
    return 100 * took / run if run > 0 else None


class _Capture:
    """A capture of one context."""

    def __init__(self, path: Path, header: Mapping[str, object], what: Outputs, cost: float | None) -> None:
        self._what, self._counters, self._cost = what, what.counters, cost
        self._file = CaptureFile(path, header, what.counters, MORE_COLUMNS)
        self._heads: dict[tuple[str, int, int], tuple[str, str]] = {}
        self._blank = self._file.count_cells(Counts.none())

    def write(self, number: int, watched: Watched) -> None:
        rows = [self._call_row(number, watched)]
        if self._what.per_op:
            lead = f"{number},{self._what.phase_of(number, watched.call)},{max(0, watched.call.n_past)},"
            for thread, of_thread in enumerate(watched.threads):
                cpu = str(of_thread.cpu) if of_thread.cpu >= 0 else ""
                for span in of_thread.spans:
                    head, tail = self._cells(span, watched.call.n_eval)
                    took = f"{span.start_ns},{span.end_ns - span.start_ns}"
                    counted = self._counters.of_words(*span.counts) if span.counts else None
                    cells = self._blank if counted is None else self._file.count_cells(counted)
                    rows.append(f"{lead}{head},{thread},{cpu},{took},,,,{cells}{tail}\n")
        self._file.write_rows(rows)

    def close(self, cut_off: bool) -> None:
        if cut_off:
            self._file.leave()
        else:
            self._file.close(self._cost, self._what.taken)

    def _call_row(self, number: int, watched: Watched) -> str:
        call = watched.call
        counts = self._counters.of_words(call.counts)
        migrations, frequency = of_cycles(counts)
        cells = [
            number, self._what.phase_of(number, call), max(0, call.n_past), call.n_eval, *[""] * 9,
            call.start_ns, call.end_ns - call.start_ns, migrations, "", "", frequency,
        ]  # fmt: skip
        return ",".join(map(str, cells)) + self._file.count_cells(counts) + f",{call.n_sequences or ''},,\n"

    def _cells(self, span: Span, n_eval: int) -> tuple[str, str]:
        """n_eval to weight_bytes, and the cells of MORE_COLUMNS; the same of a node in every call of as many tokens."""
        key = (span.name, id(span.node), n_eval)
        if key not in self._heads:
            node = span.node
            layer = "" if node is None or node.layer is None else str(node.layer)
            if node is None or span.name == BARRIER:
                self._heads[key] = f"{n_eval},{span.name},{layer},,,,,", ",,,"
            else:
                n_bytes = "" if node.weight_bytes is None else str(node.weight_bytes)
                head = [str(node.n_eval(n_eval)), node.op, layer, node.tensor, node.type, node.shape, "", n_bytes]
                tail = ["", node.name, node.operands]
                texts = [csv_line([one_line(cell) for cell in cells]).removesuffix("\n") for cells in (head, tail)]
                self._heads[key] = texts[0], f",{texts[1]}"
        return self._heads[key]


class _Markers:
    """The markers of one context."""

    def __init__(self, path: Path, what: Outputs) -> None:
        self._path, self._what = path, what
        self._last: WatchedCall | None = None
        try:
            self._file = annotate.MarkerFile(path)
        except OSError as error:
            raise self._failed(error) from None

    def write(self, number: int, watched: Watched) -> None:
        self._last = call = watched.call
        self._add(call.start_ns, max(0, call.n_past), call.n_eval, self._what.phase_of(number, call))

    def close(self, cut_off: bool) -> None:
        """A marker of no tokens ends the last call."""
        if self._last is not None and not self._file.closed:
            self._add(self._last.end_ns, max(0, self._last.n_past) + self._last.n_eval, 0, "end")
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from None

    def _add(self, time_ns: int, n_past: int, n_eval: int, phase: str) -> None:
        try:
            self._file.write(time_ns, n_past, n_eval, phase)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> Q4Error:
        return Q4Error(f"{self._path}: the markers cannot be written: {error.strerror}")


class _Trace:
    """The trace of one context."""

    def __init__(self, path: Path, process: Process, header: Mapping[str, object], what: Outputs) -> None:
        self._path, self._what = path, what
        try:
            known = {key: str(value) for key, value in header.items() if value is not None}
            self._file = TraceWriter(path, pid=process.number, metadata=known)
            self._file.process_name("llama.cpp")
        except OSError as error:
            raise self._failed(error) from None
        self._process = process.number
        self._named: set[int] = set()

    def write(self, number: int, watched: Watched) -> None:
        try:
            self._write(self._what.phase_of(number, watched.call), watched.call, watched.threads)
        except OSError as error:
            self._file.abort()
            raise self._failed(error) from None

    def close(self, cut_off: bool) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> Q4Error:
        return Q4Error(f"{self._path}: the trace cannot be written: {error.strerror}")

    def _write(self, phase: str, call: WatchedCall, threads: Sequence[ThreadSpans]) -> None:
        tids = [thread.tid for thread in threads] or [self._process]
        args = {"n_past": max(0, call.n_past), "n_eval": call.n_eval}
        self._file.instant(f"past {args['n_past']}, n_eval {call.n_eval}", call.start_ns, tids[0], scope="process")
        length = call.end_ns - call.start_ns
        self._file.slice(phase, call.start_ns, length, tids[0], category="call", args=args)
        for index, (tid, thread) in enumerate(zip(tids, threads, strict=False)):
            if tid not in self._named:
                self._named.add(tid)
                self._file.thread_name(tid, f"thread {index}", sort_index=index)
            for span in thread.spans:
                facts = {"node": span.node.name, "tensor": span.node.tensor} if span.node else None
                start, took = span.start_ns, span.end_ns - span.start_ns
                self._file.slice(span.name, start, took, tid, category="operation", args=facts)
