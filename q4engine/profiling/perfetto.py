"""A run as a trace for Perfetto: a slice for every call, and for every operation on every thread."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from annotate import SliceKind, TraceWriter
from q4engine.errors import Q4Error
from q4engine.profiling.counters import Counters
from q4engine.profiling.recording import Operation, Record, Span

_KERNELS = ("gemm", "gemv")


class Trace:
    """Writes one trace; it takes its name when it is closed. Q4Error where the file cannot be written."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        metadata: Mapping[str, object],
        plan: list[Operation],
        counters: Counters,
        kv_bytes: int,
    ) -> None:
        self._path = Path(path)
        self._plan = plan
        self._counters = counters
        self._kv_bytes = kv_bytes
        self._named: set[int] = set()
        self._has_calls = False
        self._kinds: dict[tuple[int, str, int], SliceKind] = {}
        try:
            known = {key: str(value) for key, value in metadata.items() if value is not None}
            self._trace = TraceWriter(self._path, metadata=known)
            self._trace.process_name("q4engine")
        except OSError as error:
            raise self._failed(error) from None

    def write(self, record: Record) -> None:
        """The slices of one call."""
        self._has_calls = True
        try:
            self._write(record)
        except OSError as error:
            self._trace.abort()
            raise self._failed(error) from None

    def close(self) -> None:
        """Completes the file; closing twice is fine. Without a call there is none: one from before stays."""
        try:
            if self._has_calls:
                self._trace.close()
            else:
                self._trace.abort()
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> Q4Error:
        return Q4Error(f"{self._path}: the trace cannot be written: {error.strerror}")

    def _write(self, record: Record) -> None:
        call = record.call
        threads = [fact.tid for fact in record.threads()] or [os.getpid()]
        self._name(threads)
        marker = f"past {call.n_past}, n_eval {call.n_eval}"
        self._trace.instant(marker, record.start_ns, threads[0], scope="process")
        counts = self._counters.of_call(record).by_name
        args = {"n_past": call.n_past, "n_eval": call.n_eval, **counts}
        self._trace.slice(call.phase, record.start_ns, record.duration_ns, threads[0], category="call", args=args)
        for tid, marks in zip(threads, record.marks(), strict=False):
            if len(marks) > 2:
                for span in record.spans(self._plan, marks):
                    self._span(span, record, tid)
        self._trace.counter(f"{call.phase} tokens/s", record.end_ns, round(record.tokens_per_second, 2))
        self._trace.counter("KV cache bytes", record.end_ns, (call.n_past + call.n_eval) * self._kv_bytes)

    def _span(self, span: Span, record: Record, tid: int) -> None:
        key = (tid, span.name, id(span.operation))
        if key not in self._kinds:
            self._kinds[key] = self._kind(span, record, tid)
        self._trace.slice_like(self._kinds[key], span.start_ns, span.end_ns - span.start_ns)

    def _kind(self, span: Span, record: Record, tid: int) -> SliceKind:
        args: dict[str, str | int | float | bool | None] = {}
        if span.operation is not None:
            if span.operation.layer is not None:
                args["layer"] = span.operation.layer
            if span.operation.tensor and span.name != "barrier":
                args["tensor"] = span.operation.tensor
            if span.name in _KERNELS:
                args["kernel"] = span.operation.kernel(span.operation.tokens(record.call))
        return self._trace.kind_of_slice(span.name, tid, category="operation", args=args)

    def _name(self, threads: list[int]) -> None:
        for index, tid in enumerate(threads):
            if tid not in self._named:
                self._named.add(tid)
                self._trace.thread_name(tid, f"thread {index}", sort_index=index)
