"""Perplexity of a plan's models and types on one text, each scored once: what a smaller type costs in quality."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from q4engine.cpus import default_thread_count
from q4engine.errors import Q4Error, shown
from q4engine.sweep.plan_tables import one_text, only
from q4engine.sweep.process import run_process

_WORKER = Path(__file__).with_name("sweep_worker.py")
_KEYS = ("text", "context", "windows")
_DEFAULTS = {"context": 512, "windows": 8}
_LIMITS = {"context": (4, 1 << 20), "windows": (1, 100_000)}


@dataclass(frozen=True)
class ScoredText:
    """``context``: tokens of a window, of which the second half is scored; at most so many ``windows``."""

    path: Path
    context: int
    windows: int

    def as_data(self) -> dict[str, Any]:
        return {"text": self.path.name, "context": self.context, "windows": self.windows}


@dataclass(frozen=True)
class Perplexity:
    """Of a model and type as the plan names them. ``error``: one standard error."""

    model: str
    type: str
    value: float
    error: float
    n_tokens: int


def scored_text(table: Mapping[str, Any], folder: Path) -> ScoredText | None:
    """Of a plan's [perplexity]; None without one. Q4Error names what is wrong."""
    if not table:
        return None
    only(table, "perplexity", _KEYS)
    numbers = {}
    for key, usual in _DEFAULTS.items():
        value, (low, high) = table.get(key, usual), _LIMITS[key]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Q4Error(f"perplexity.{key}: found {shown(value)}, expected a whole number from {low} to {high}")
        numbers[key] = value
    return ScoredText(folder / one_text(table.get("text"), "perplexity.text"), **numbers)


def score_models(
    text: ScoredText, models: Mapping[tuple[str, str], Path], timeout: float, tell: Callable[[str], None]
) -> list[Perplexity]:
    """Of each (model, type) and its file. Where one cannot be scored a line says why."""
    found = []
    for (model, kind), path in models.items():
        name = f"{Path(model).name}{f', {kind}' if kind else ''}"
        tell(f"{name}: perplexity")
        try:
            found.append(Perplexity(model, kind, *_scored(text, path, timeout)))
        except Q4Error as error:
            tell(f"error: {name}: perplexity: {error}")
    return found


def _scored(text: ScoredText, path: Path, timeout: float) -> tuple[float, float, int]:
    request = {"engine": "perplexity", "model": str(path), "threads": default_thread_count()}
    request |= {"text": str(text.path), "context": text.context, "windows": text.windows}
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    ended = run_process([sys.executable, "-P", str(_WORKER)], environment, timeout, json.dumps(request).encode())
    if ended.reason:
        raise Q4Error(ended.reason)
    try:
        answer = json.loads(ended.out.splitlines()[-1])
        if "error" in answer:
            raise Q4Error(str(answer["error"]).splitlines()[0])
        value, error, n_tokens = answer["perplexity"]
        return float(value), float(error), int(n_tokens)
    except (IndexError, KeyError, TypeError, ValueError):
        raise Q4Error(f"its process said {shown(ended.out)}, expected a perplexity") from None
