"""A fleet as data, for `--json`. Numbers that are unknown are null."""

from __future__ import annotations

from typing import Any

from analysis.fleet.findings import Fleet, Group
from analysis.fleet.trends import Step
from analysis.fleet.twins import Twin
from analysis.reports.data import number

FORMAT_VERSION = 1


def of_fleet(fleet: Fleet) -> dict[str, Any]:
    """Everything that the report says, and every device and step."""
    return {
        "format_version": FORMAT_VERSION,
        "captures": fleet.captures,
        "devices": [_twin(twin) for twin in fleet.twins],
        "commits": [_step(step) for step in fleet.commits],
        "periods": [_step(step) | {"unit": fleet.unit} for step in fleet.periods],
        "group_by": list(fleet.by),
        "groups": [_group(group, fleet.by) for group in fleet.groups],
        "without_result": [
            {"state": each.state, "reason": each.reason, "captures": each.captures, "example": each.example}
            for each in fleet.reasons
        ],
    }


def _twin(twin: Twin) -> dict[str, Any]:
    return {
        "device": twin.device,
        "setup": _setup(twin.setup),
        "captures": twin.captures,
        "twins": twin.twins - 1,
        "tokens_per_s": number(twin.speed),
        "times_as_fast": number(twin.times),
        "scales": number(twin.z),
        "scales_needed": twin.limit,
        "verdict": twin.verdict,
        "differs": [
            {
                "name": each.quantity.column,
                "own": number(each.own),
                "twins": number(each.twins),
                "scales": number(each.z),
            }
            for each in twin.differs
        ],
        "example": twin.example or None,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "setup": _setup(step.setup),
        "before": step.before,
        "after": step.after,
        "times_as_fast": number(step.times),
        "interval": step.interval,
        "level": step.level,
        "compared": {step.by: step.n},
        "verdict": step.verdict,
        "differs": [{"name": each.column, "before": number(a), "after": number(b)} for each, a, b in step.differs],
    }


def _group(group: Group, by: tuple[str, ...]) -> dict[str, Any]:
    return {
        **dict(zip(by, group.values, strict=True)),
        "captures": group.captures,
        "devices": group.devices,
        "tokens_per_s": dict(zip(("5 %", "25 %", "50 %", "75 %", "95 %"), group.speeds, strict=False)),
        **{key: number(value) for key, value in group.ratios.items()},
        "verdicts": group.verdicts,
    }


def _setup(setup: dict[str, object]) -> dict[str, Any]:
    return {name: None if value != value or value == "" else _plain(value) for name, value in setup.items()}


def _plain(value: object) -> Any:
    return value.item() if hasattr(value, "item") else value
