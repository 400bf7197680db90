"""Many captures in one table: verdicts and medians by core, threads, model or any key of the captures' headers."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass
from statistics import median

from analysis.errors import printable
from analysis.judging import Capture, JudgedPhase
from analysis.terminal import aligned

KEYS = ("core", "threads", "model", "file", "format", "phase")
_HEADER_NAMES = {"threads": "n_threads"}
_COLUMNS = ("captures", "tokens/s", "IPC", "be", "m", "verdicts")


@dataclass(frozen=True)
class _Row:
    group: tuple[str, ...]
    phase: JudgedPhase


def keys(text: str) -> tuple[str, ...]:
    """The keys of `--group-by`, for argparse."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError(f"name at least one key, such as {', '.join(KEYS)}")
    return names


def render(captures: list[Capture], by: tuple[str, ...]) -> str:
    """One line a group and phase label, medians over its captures, ending in a line break."""
    by = by if "phase" in by else (*by, "phase")
    rows = [
        _Row(tuple(_value(capture, phase, key) for key in by), phase)
        for capture in captures
        for phase in capture.judged()
    ]
    grouped: dict[tuple[str, ...], list[JudgedPhase]] = {}
    for row in rows:
        grouped.setdefault(row.group, []).append(row.phase)
    table = [[*by, *_COLUMNS]]
    table += [[*group, *_cells(phases)] for group, phases in sorted(grouped.items())]
    return "\n".join(aligned(table)) + "\n"


def _value(capture: Capture, phase: JudgedPhase, key: str) -> str:
    if key == "core":
        return phase.context.core.title
    if key == "file":
        return printable(capture.path.name)
    if key == "format":
        return str(capture.table.meta.get("format"))
    if key == "phase":
        return printable(phase.phase.label)
    value = capture.header.get(_HEADER_NAMES.get(key, key), "?")
    return printable(f"{value:g}" if isinstance(value, float) else str(value))


def _cells(phases: list[JudgedPhase]) -> list[str]:
    verdicts = Counter(str(phase.judgement.combined.outcome) for phase in phases)
    return [
        str(len(phases)),
        _median([phase.tokens_per_second for phase in phases], "{:.1f}"),
        _median([phase.metrics["ipc"].number() for phase in phases], "{:.2f}"),
        _median([100 * phase.metrics["be"].number() for phase in phases], "{:.1f} %"),
        _median([100 * phase.metrics["m"].number() for phase in phases], "{:.1f} %"),
        ", ".join(f"{n} {outcome}" for outcome, n in verdicts.most_common()),
    ]


def _median(values: list[float], form: str) -> str:
    known = [value for value in values if math.isfinite(value)]
    return form.format(median(known)) if known else "-"
