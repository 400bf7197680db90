"""Captures for Firefox Profiler (profiler.firefox.com): its processed format, with calls and operations.

Every thread has its operations twice: as markers, for the marker chart, and as samples that weigh what they took, so
that call tree and flame graph show phases, operations and tensors. https://github.com/firefox-devtools/profiler says
what the format is; the profiler itself brings older versions of it up to date.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis import palette
from analysis.calls import Calls, tensor_name
from analysis.errors import AnalysisError, printable
from analysis.judging import Capture

VERSION = 62
"""Of the processed format."""
_CALL, _OPERATION = "q4engine call", "q4engine operation"
_INTERVAL = 1  # a marker's phase: it has a start and an end
_LONGEST = 200  # characters of a name
_FIELDS = {
    _CALL: (("n_past", "tokens before", "integer"), ("n_eval", "tokens", "integer")),
    _OPERATION: (("tensor", "tensor", "string"), ("layer", "layer", "string")),
}


def profile(capture: Capture, packed: bool) -> bytes:
    """The file. AnalysisError where the capture has no calls of its own. packed: by gzip, as the profiler takes it."""
    calls = capture.table.calls
    if calls is None or calls.whole.empty:
        raise AnalysisError("has no calls, which only captures by q4engine have", path=capture.path)
    document = json.dumps(_Profile(calls).document(printable(capture.path.name, _LONGEST))).encode()
    return gzip.compress(document, mtime=0) if packed else document + b"\n"


def is_packed(path: Path) -> bool:
    """Whether the file's name says so."""
    return path.suffix.lower() == ".gz"


class _Slice(NamedTuple):
    """What took time on a thread. names: from the outermost on.  fields: of the marker."""

    start_ms: float
    end_ms: float
    names: tuple[str, ...]
    hue: str
    fields: dict[str, Any]


class _Profile:
    """The shared tables, which grow as slices are added."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._origin_s = float(calls.whole["start_s"].min())
        self._strings: dict[str, int] = {}
        self._funcs: dict[tuple[str, str], int] = {}
        self._stacks: dict[tuple[int, int | None], int] = {}
        self._categories: dict[str, int] = {}
        self._phases: dict[int, str] = {}

    def document(self, title: str) -> dict[str, Any]:
        threads = list(self._threads())
        return {
            "meta": self._meta(title),
            "libs": [],
            "pages": [],
            "profilerOverhead": [],
            "counters": [],
            "shared": self._shared(),
            "threads": threads,
        }

    def _threads(self) -> Iterator[dict[str, Any]]:
        calls = list(self._whole())
        parts = self._calls.parts
        if parts.empty:
            yield self._thread("calls", 0, calls, calls)
            return
        yield self._thread("calls", 0, calls, [])
        numbers = parts["thread"] if "thread" in parts else pd.Series(0, parts.index)
        for number, rows in parts.groupby(numbers, sort=True):
            slices = list(self._operations(rows))
            yield self._thread(f"thread {int(number)}", 1 + int(number), slices, slices)

    def _whole(self) -> Iterator[_Slice]:
        rows = self._calls.whole
        labels = rows["phase"] if "phase" in rows else pd.Series("call", rows.index)
        for at, (label, row) in enumerate(zip(labels, rows.itertuples(index=False), strict=True)):
            name = printable(str(label), _LONGEST) or "call"
            self._phases[int(row.call)] = name
            fields = {"type": _CALL, "n_past": int(row.n_past), "n_eval": int(row.n_eval)}
            yield self._slice(row, (name,), palette.phase(name, at), fields)

    def _operations(self, rows: pd.DataFrame) -> Iterator[_Slice]:
        for row in rows.sort_values("start_s", kind="stable").itertuples(index=False):
            operation = printable(str(row.op), _LONGEST)
            tensor = printable(str(getattr(row, "tensor", "") or ""), _LONGEST)
            names = [self._phases.get(int(row.call), "call"), operation]
            if tensor:
                names.append(tensor_name(tensor))
            layer = getattr(row, "layer", "")
            told = "" if layer is None or layer != layer else f"{layer:g}" if isinstance(layer, float) else str(layer)
            fields = {"type": _OPERATION, "tensor": tensor, "layer": printable(told, 20)}
            yield self._slice(row, tuple(names), palette.operation(operation), fields)

    def _slice(self, row: Any, names: tuple[str, ...], hue: str, fields: dict[str, Any]) -> _Slice:
        start = 1e3 * (float(row.start_s) - self._origin_s)
        return _Slice(start, start + 1e3 * float(row.duration_s), names, hue, fields)

    def _thread(self, name: str, tid: int, marks: list[_Slice], sampled: list[_Slice]) -> dict[str, Any]:
        starts = np.array([one.start_ms for one in sampled])
        return {
            "name": name,
            "isMainThread": tid == 0,
            "processName": "q4engine",
            "processType": "default",
            "processStartupTime": 0.0,
            "processShutdownTime": None,
            "registerTime": 0.0,
            "unregisterTime": None,
            "pausedRanges": [],
            "pid": "1",
            "tid": str(tid),
            "showMarkersInTimeline": True,
            "samples": {
                "length": len(sampled),
                "stack": [self._stack(one) for one in sampled],
                "timeDeltas": np.diff(starts, prepend=0.0).tolist(),
                "weight": [one.end_ms - one.start_ms for one in sampled],
                "weightType": "tracing-ms",
            },
            "markers": {
                "length": len(marks),
                "name": [self._string(one.names[-1] if len(one.names) < 2 else one.names[1]) for one in marks],
                "startTime": [one.start_ms for one in marks],
                "endTime": [one.end_ms for one in marks],
                "phase": [_INTERVAL] * len(marks),
                "category": [self._category(one.hue) for one in marks],
                "data": [one.fields for one in marks],
            },
        }

    def _stack(self, one: _Slice) -> int | None:
        prefix: int | None = None
        for name in one.names:
            func = self._funcs.setdefault((name, one.hue), len(self._funcs))
            self._string(name)
            prefix = self._stacks.setdefault((func, prefix), len(self._stacks))
        return prefix

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def _category(self, hue: str) -> int:
        return self._categories.setdefault(hue, len(self._categories))

    def _shared(self) -> dict[str, Any]:
        """A function, and a frame of it, for each name and hue."""
        n = len(self._funcs)
        names = [self._strings[name] for name, _ in self._funcs]
        categories = [self._category(hue) for _, hue in self._funcs]
        none: list[None] = [None] * n
        return {
            "stackTable": {
                "length": len(self._stacks),
                "frame": [func for func, _ in self._stacks],
                "prefix": [prefix for _, prefix in self._stacks],
            },
            "frameTable": {
                "length": n,
                "address": [-1] * n,
                "inlineDepth": [0] * n,
                "category": categories,
                "subcategory": [0] * n,
                "func": list(range(n)),
                "nativeSymbol": none,
                "innerWindowID": [0] * n,
                "line": none,
                "column": none,
            },
            "funcTable": {
                "length": n,
                "name": names,
                "isJS": [False] * n,
                "relevantForJS": [False] * n,
                "resource": [-1] * n,
                "source": none,
                "lineNumber": none,
                "columnNumber": none,
            },
            "resourceTable": {"length": 0, "lib": [], "name": [], "host": [], "type": []},
            "nativeSymbols": {"length": 0, "address": [], "functionSize": [], "libIndex": [], "name": []},
            "sources": {
                "length": 0,
                "id": [],
                "filename": [],
                "startLine": [],
                "startColumn": [],
                "sourceMapURL": [],
            },
            "stringArray": list(self._strings),
        }

    def _meta(self, title: str) -> dict[str, Any]:
        """Called last, when all hues are known."""
        hues = list(self._categories) or [palette.OTHER]
        schemas = [
            {
                "name": name,
                "display": ["marker-chart", "marker-table"],
                "fields": [{"key": key, "label": label, "format": form} for key, label, form in fields],
            }
            for name, fields in _FIELDS.items()
        ]
        return {
            "version": 24,
            "preprocessedProfileVersion": VERSION,
            "product": f"q4engine: {title}",
            "processType": 0,
            "startTime": 0.0,
            "interval": 1.0,
            "symbolicated": True,
            "debug": False,
            "pausedRanges": [],
            "usesOnlyOneStackType": True,
            "sourceCodeIsNotOnSearchfox": True,
            "extensions": {"length": 0, "baseURL": [], "id": [], "name": []},
            "sampleUnits": {"time": "ms", "eventDelay": "ms", "threadCPUDelta": "µs"},
            "categories": [{"name": hue, "color": palette.PROFILER[hue], "subcategories": ["Other"]} for hue in hues],
            "markerSchema": schemas,
        }
