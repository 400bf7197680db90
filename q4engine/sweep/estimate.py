"""How long a sweep takes: by what its runs took so far, before them roughly by the models' sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from q4engine.bench.statistics import mean, median
from q4engine.sweep.combination import Combination
from q4engine.sweep.engines import NUMPY
from q4engine.sweep.plan_file import Plan
from q4engine.sweep.results import Run

# A machine of no name, to set runs in proportion to each other; what the first runs took corrects it.
_START_SECONDS = 0.5
_READ = 5e9  # bytes a second
_COMPUTE = 30e9  # operations a second and thread
_WEIGHTS_A_BYTE = 1.8
_NUMPY_FACTOR = 20.0


def rough(plan: Plan, combination: Combination) -> float:
    """Seconds of a run, by its model's size and its numbers of tokens."""
    pace, path = plan.pace, plan.model_path(combination)
    size = _size(path) if path is not None else 0
    n_times = pace.samples + pace.warm_up + pace.components
    n_prompt = combination.number("depth") + n_times * combination.number("prompt")
    n_text = pace.samples * combination.number("generate") + combination.number("generate") * pace.components
    threads = max(1, combination.number("threads"))
    compute = 2 * size * _WEIGHTS_A_BYTE * (n_prompt + combination.number("prompt")) / (_COMPUTE * threads)
    factor = _NUMPY_FACTOR if combination["engine"] == NUMPY else 1.0
    return _START_SECONDS + size / _READ + factor * (compute + n_text * size / _READ)


def seconds_of(plan: Plan, runs: Iterable[Run]) -> Mapping[Combination, float]:
    """Seconds of one run of each combination: what it took so far, else a rough guess in proportion to the others."""
    took: dict[Combination, list[float]] = {}
    for run in runs:
        took.setdefault(run.combination, []).append(run.seconds)
    guesses = {each: rough(plan, each) for each in plan.combinations}
    known = {each: mean(seconds) for each, seconds in took.items()}
    ratios = [known[each] / guess for each, guess in guesses.items() if each in known]
    factor = median(ratios) if ratios else 1.0
    return {each: known.get(each, factor * guess) + plan.pace.cooldown for each, guess in guesses.items()}


def in_words(seconds: float) -> str:
    """50 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
