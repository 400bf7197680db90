"""The report as data, for `--json` and the HTML page. Numbers that are unknown are null."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from analysis import breakdown, json_text, metrics
from analysis.breakdown import Part
from analysis.judging import Capture, JudgedPhase
from analysis.metrics import Ratio
from analysis.reports import breakdown_rows, summary
from analysis.verdicts import Check, Verdict
from analysis.verdicts.alike import StepVerdict

FORMAT_VERSION = 1


def render(captures: list[Capture]) -> str:
    """The captures' reports as one JSON text, ending in a line break."""
    return "".join(pieces(captures))


def pieces(captures: list[Capture]) -> Iterator[str]:
    """The same, made while it is written."""
    return json_text.pieces({"format_version": FORMAT_VERSION, "captures": map(capture_data, captures)})


def capture_data(capture: Capture) -> dict[str, Any]:
    """A capture: what it says of itself, notes, phases, each made when it is asked for."""
    return {
        "path": str(capture.path),
        "format": capture.table.meta.get("format"),
        "emulated": capture.is_emulated,
        "header": {key: _plain(value) for key, value in capture.header.items()},
        "notes": capture.notes,
        "phases": (
            phase_data(phase) | {"summary": summary_data(phase, capture)} | time_data(phase, capture)
            for phase in capture.judged()
        ),
    }


def phase_data(phase: JudgedPhase) -> dict[str, Any]:
    """A phase: time, verdicts, every metric with its interval, and the verdict of each step."""
    context = phase.context
    used = {id(step) for step in phase.evidence.steps}
    return {
        "title": phase.title,
        "label": phase.phase.label,
        "generation": phase.phase.generation,
        "pmu": phase.phase.pmu,
        "scope": phase.phase.scope,
        "core": context.core.name,
        "tokens": phase.phase.n_tokens,
        "tokens_kept": phase.phase.n_kept,
        "start_s": number(phase.time(phase.phase.start_s)),
        "duration_s": number(phase.time(phase.phase.duration_s)),
        "tokens_per_s": number(phase.tokens_per_second),
        "frequency_hz": number(phase.evidence.frequency),
        "read_peak_bytes_per_s": context.read_peak,
        "read_peak_is_measured": context.peak_is_measured if context.read_peak else None,
        "model_bytes_per_token": context.model_bytes,
        "verdict": verdict_data(phase.judgement.combined),
        "rules": [verdict_data(verdict) for verdict in phase.judgement.rules],
        "metrics": {
            key: ratio_data(ratio) | {"unit": metrics.BY_KEY[key].unit, "interval": _interval(phase, key)}
            for key, ratio in phase.metrics.items()
        },
        "notes": phase.phase.notes,
        "steps": (
            {
                "n_past": step.n_past,
                "n_eval": step.n_eval,
                "start_s": number(phase.time(step.start_s)),
                "duration_s": number(phase.time(step.duration_s)),
                "set_aside": id(step) not in used,
                **step_verdict(verdict),
            }
            for step, verdict in phase.every_step()
        ),
    }


def summary_data(phase: JudgedPhase, capture: Capture) -> dict[str, Any]:
    """The line that the text starts with, in parts."""
    found = summary.of_phase(phase, capture)
    return {"verdict": found.verdict, "confidence": found.confidence or None, "why": found.why, "next": found.next}


def time_data(phase: JudgedPhase, capture: Capture) -> dict[str, Any]:
    """What time and the model's size tell without counters: see `analysis.breakdown`."""
    traffic, found = breakdown.least_traffic(phase), breakdown.of_phase(phase, capture.table)
    document: dict[str, Any] = {"least_traffic": None, "breakdown": None, "projection": None}
    if traffic:
        document["least_traffic"] = {
            "bytes_per_call": traffic.per_call,
            "bytes_per_s": traffic.rate,
            "of_peak": number(traffic.of_peak),
        }
    if found:
        document["breakdown"] = {
            "of": "time" if found.of_time else "instructions",
            "operations": [_part(part, found.of_time) for part in found.operations],
            "tensors": [_part(part, found.of_time) for part in found.tensors],
        }
    projected = breakdown_rows.projected(phase, capture)
    if projected:
        document["projection"] = {
            "assumed_bytes_per_s": projected.assumed.bandwidth,
            "assumed_operations_per_s": projected.assumed.arithmetic,
            "s_per_token": projected.seconds,
            "operations": [
                {"name": part.name, "s_per_token": part.seconds, "limit": part.limit, "bytes_by": part.source}
                for part in projected.parts
            ],
            "left_out": projected.left_out,
        }
    return document


def _part(part: Part, of_time: bool) -> dict[str, Any]:
    amount = "s_per_token" if of_time else "instructions_per_token"
    rates = {"bytes_per_s": number(part.bandwidth), "bytes_by": part.source, "operations_per_s": number(part.rate)}
    return {"name": part.name, "share": number(part.share), amount: number(part.amount), **rates}


def step_verdict(verdict: StepVerdict) -> dict[str, Any]:
    """A step's verdict: its outcome and the ratios that rule 1 read."""
    ratios = {key: number(value) for key, value in verdict.ratios.items()}
    return {"outcome": str(verdict.outcome), "confidence": str(verdict.confidence), **ratios}


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    """A verdict with its checks, margins and reasons."""
    return {
        "rule": verdict.rule,
        "outcome": str(verdict.outcome),
        "confidence": str(verdict.confidence),
        "text": verdict.text,
        "checks": [check_data(check) for check in verdict.checks],
        "reasons": list(verdict.reasons),
        "remarks": list(verdict.remarks),
        "deferred": verdict.deferred,
        "ratios": {key: ratio_data(ratio) for key, ratio in verdict.ratios.items()},
    }


def check_data(check: Check) -> dict[str, Any]:
    """A comparison: value, threshold, whether it holds and by how much."""
    return {
        "key": check.key,
        "label": check.label,
        "value": number(check.value),
        "relation": ">=" if check.at_least else "<=",
        "threshold": check.threshold,
        "holds": check.holds,
        "margin": number(check.margin),
        "unit": check.unit,
        "interval": list(check.interval) if check.interval else None,
    }


def ratio_data(ratio: Ratio) -> dict[str, Any]:
    """A measured value, or null and the reason."""
    return {
        "value": number(ratio.number()),
        "reason": None if ratio.known else str(ratio.value),
        "events": list(ratio.events),
        "running": ratio.running,
        "counted_together": ratio.together,
    }


def number(value: float) -> float | None:
    """A float that JSON can hold, None for NaN and infinities."""
    return value if math.isfinite(value) else None


def _interval(phase: JudgedPhase, key: str) -> list[float] | None:
    interval = phase.interval(key)
    return list(interval) if interval else None


def _plain(value: object) -> Any:
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str | int | bool | None) else str(value)
