"""A trace in Chrome's JSON format, which ui.perfetto.dev and chrome://tracing open.

Events are streamed to a file beside the target, which takes the target's name when it is whole. Times go in as
nanoseconds and are written as microseconds with three decimals, so none is lost.
"""

import gzip
import io
import json
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, NamedTuple, Self

from analysis.outputs import Output

Value = str | int | float | bool | None
Scope = Literal["thread", "process", "global"]

_GZIP_LEVEL = 3  # packs to a tenth, in less time than the slices take to be made

_SCOPE_CODES = {"thread": "t", "process": "p", "global": "g"}


class SliceKind(NamedTuple):
    """What slices of one kind have in common; made by `TraceWriter.kind_of_slice`."""

    name: str
    encoded: str


class TraceWriter:
    """Writes one trace file, packed where its name ends in .gz. Slices of one thread must nest or follow each other;
    any order of writing will do.

    `close` completes the file, `abort` leaves no trace of it; the `with` statement aborts where its block raises.
    `metadata` goes into the file's head. OSError where the file cannot be written, ValueError for a number that
    JSON does not know (infinity, NaN) or a negative duration.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, pid: int | None = None, metadata: Mapping[str, Value] | None = None
    ) -> None:
        self._pid = os.getpid() if pid is None else pid
        head = json.dumps(dict(metadata or {}), allow_nan=False)
        self._output = Output(path)
        self._packed: gzip.GzipFile | None = None
        if os.fspath(path).endswith(".gz"):
            self._packed = gzip.GzipFile("", "wb", _GZIP_LEVEL, self._output.file, mtime=0)
        self._file = io.TextIOWrapper(self._packed or self._output.file, encoding="utf-8")
        self._file.write(f'{{"displayTimeUnit":"ns","otherData":{head},"traceEvents":[')
        self._separator = "\n"

    def process_name(self, name: str) -> None:
        """Names the process."""
        self._event({"ph": "M", "name": "process_name", "pid": self._pid, "args": {"name": name}})

    def thread_name(self, tid: int, name: str, *, sort_index: int | None = None) -> None:
        """Names a thread and, if asked to, sets its place among the others (lower stands higher)."""
        self._event({"ph": "M", "name": "thread_name", "pid": self._pid, "tid": tid, "args": {"name": name}})
        if sort_index is not None:
            order = {"sort_index": sort_index}
            self._event({"ph": "M", "name": "thread_sort_index", "pid": self._pid, "tid": tid, "args": order})

    def slice(
        self,
        name: str,
        start_ns: int,
        duration_ns: int,
        tid: int,
        *,
        category: str = "",
        args: Mapping[str, Value] | None = None,
    ) -> None:
        """Something that lasted: start (CLOCK_MONOTONIC_RAW) and duration in nanoseconds, on a thread."""
        self.slice_like(self.kind_of_slice(name, tid, category=category, args=args), start_ns, duration_ns)

    def kind_of_slice(
        self, name: str, tid: int, *, category: str = "", args: Mapping[str, Value] | None = None
    ) -> SliceKind:
        """What many slices have in common, for `slice_like`: encoded once, most of a slice's work is done."""
        event: dict[str, object] = {"ph": "X", "name": name, "pid": self._pid, "tid": tid}
        if category:
            event["cat"] = category
        if args:
            event["args"] = dict(args)
        return SliceKind(name, _json(event))

    def slice_like(self, kind: SliceKind, start_ns: int, duration_ns: int) -> None:
        """A slice of a kind: start (CLOCK_MONOTONIC_RAW) and duration in nanoseconds."""
        if duration_ns < 0:
            raise ValueError(f"trace slice {kind.name!r}: duration {duration_ns} ns, must not be negative")
        self._write(kind.encoded, ts=start_ns, dur=duration_ns)

    def counter(self, name: str, time_ns: int, values: float | Mapping[str, float]) -> None:
        """A value from this time on, or several that are stacked in one track."""
        series = dict(values) if isinstance(values, Mapping) else {"value": values}
        self._event({"ph": "C", "name": name, "pid": self._pid, "args": series}, ts=time_ns)

    def instant(
        self,
        name: str,
        time_ns: int,
        tid: int,
        *,
        scope: Scope = "thread",
        args: Mapping[str, Value] | None = None,
    ) -> None:
        """A point in time, as a marker is: drawn across its thread, its process or everything."""
        event: dict[str, object] = {"ph": "i", "name": name, "pid": self._pid, "tid": tid, "s": _SCOPE_CODES[scope]}
        if args:
            event["args"] = dict(args)
        self._event(event, ts=time_ns)

    def close(self) -> None:
        """Completes the file and gives it its name; closing twice is fine."""
        if self._file.closed:
            return
        try:
            self._file.write("\n]}\n")
            self._file.flush()
            if self._packed is not None:
                self._packed.close()
            self._output.keep()
        finally:
            self.abort()

    def abort(self) -> None:
        """Removes what was written; a file of the target's name from before stays as it was."""
        if self._packed is not None:
            self._packed.fileobj = None  # type: ignore[assignment]  # which makes it closed: nothing more is written
        self._output.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _event(self, event: Mapping[str, object], **times_ns: int) -> None:
        self._write(_json(event), **times_ns)

    def _write(self, encoded: str, **times_ns: int) -> None:
        times = "".join([f',"{key}":{_microseconds(time_ns)}' for key, time_ns in times_ns.items()])
        self._file.write(f"{self._separator}{encoded[:-1]}{times}}}")
        self._separator = ",\n"


def _json(event: Mapping[str, object]) -> str:
    return json.dumps(event, allow_nan=False, separators=(",", ":"))


def _microseconds(time_ns: int) -> str:
    """Exact decimals: a double would round nanoseconds away after some weeks of uptime."""
    whole, rest = divmod(abs(time_ns), 1000)
    return f"{'-' if time_ns < 0 else ''}{whole}.{rest:03d}"
