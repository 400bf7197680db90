"""The rules of Chrome's trace format that viewers rely on, checked on a whole file. Raises AssertionError."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NEEDED = {
    "X": {"name", "pid", "tid", "ts", "dur"},
    "C": {"name", "pid", "ts", "args"},
    "i": {"name", "pid", "tid", "ts", "s"},
    "M": {"name", "pid", "args"},
}


def checked_events(path: Path) -> list[dict[str, Any]]:
    """The events of a trace, after checking every one of them."""
    data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    assert isinstance(data["traceEvents"], list)
    for event in data["traceEvents"]:
        _check_event(event)
    for thread in {(event["pid"], event["tid"]) for event in data["traceEvents"] if event["ph"] == "X"}:
        _check_nesting([e for e in data["traceEvents"] if e["ph"] == "X" and (e["pid"], e["tid"]) == thread])
    events: list[dict[str, Any]] = data["traceEvents"]
    return events


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def _check_event(event: dict[str, Any]) -> None:
    kind = event["ph"]
    assert kind in NEEDED, f"unknown event {event}"
    assert set(event) >= NEEDED[kind], f"{event} lacks {NEEDED[kind] - set(event)}"
    assert isinstance(event["name"], str) and event["name"]
    for key in ("pid", "tid"):
        assert isinstance(event.get(key, 0), int)
    for key in ("ts", "dur"):
        assert isinstance(event.get(key, 0), (int, float)) and event.get(key, 0) >= 0
    if kind == "C":
        assert event["args"] and all(isinstance(value, (int, float)) for value in event["args"].values())
    if kind == "i":
        assert event["s"] in ("g", "p", "t")


def _check_nesting(slices: list[dict[str, Any]]) -> None:
    """Slices of a thread follow each other or lie within each other; times in whole nanoseconds."""
    open_ends: list[int] = []
    for event in sorted(slices, key=lambda e: (_ns(e["ts"]), -_ns(e["dur"]))):
        start, end = _ns(event["ts"]), _ns(event["ts"]) + _ns(event["dur"])
        while open_ends and open_ends[-1] <= start:
            open_ends.pop()
        assert not open_ends or end <= open_ends[-1], f"{event} reaches beyond the slice around it"
        open_ends.append(end)


def _ns(microseconds: float) -> int:
    return round(microseconds * 1000)
