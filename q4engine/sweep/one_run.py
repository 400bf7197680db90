"""Makes one run: the engine's process, what it tells, and under which conditions."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from q4engine.cpus import parse_cpu_mask
from q4engine.errors import Q4Error, shown
from q4engine.sweep.combination import Combination
from q4engine.sweep.doubts import conditions, doubts, look
from q4engine.sweep.engines import Engine, Reading
from q4engine.sweep.plan_file import Plan
from q4engine.sweep.process import Ended, run_process
from q4engine.sweep.results import DONE, FAILED, NOISY, TIMEOUT, Run, Sample

_WORKER = Path(__file__).with_name("sweep_worker.py")
_BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_OTHERS_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
_MOST_SAMPLES = 100_000


@dataclass(frozen=True)
class Told:
    """What a run's process told of itself."""

    samples: list[Sample]
    components: list[Sample]
    facts: Mapping[str, Any]
    migrations: int | None = None
    tokens: Sequence[tuple[int, float]] = ()


def make_run(
    plan: Plan, combination: Combination, model: Path | None, block: int, attempt: int, machine: Mapping[str, Any]
) -> Run:
    """Makes the run and judges it. ``model``: the file to run. ``machine``: facts to keep with it."""
    engine = plan.engines[combination.text("engine")]
    threads = combination.number("threads") or 1
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    before = look(threads)
    capture = None if plan.captures is None else plan.captures / f"{combination.hash}-{block:03}-{attempt}.csv"
    ended = _ended(plan, engine, combination, model, capture)
    told, reason = _told(engine, combination, ended)
    found = conditions(before, look(threads), told.migrations)
    state = TIMEOUT if ended.is_timeout else FAILED
    if not reason:
        named = doubts(found, ended.seconds, threads * max(1, len(told.samples)))
        state, reason = (NOISY, ", ".join(named)) if named else (DONE, "")
    return Run(
        combination, block, state, reason, attempt, started, ended.seconds, told.samples, told.components, machine,
        told.facts, found, told.tokens,
    )  # fmt: skip


def _ended(plan: Plan, engine: Engine, combination: Combination, model: Path | None, capture: Path | None) -> Ended:
    mask = combination.text("mask")
    cpus = parse_cpu_mask(mask) if mask else None
    if engine.command:
        values = {**combination.as_dict(), "model": "" if model is None else model.absolute()}
        environment = {**os.environ, **dict(engine.variables)}
        return run_process(engine.words(values), environment, plan.pace.timeout, cpus=cpus, folder=plan.folder)
    request = {
        "engine": engine.name, "model": str(model), "cpus": cpus, "python": engine.python,
        "components": plan.pace.components, "tokens": plan.pace.tokens,
        "capture": None if capture is None else str(capture.absolute()), "samples": plan.pace.samples,
        "warm_up": plan.pace.warm_up, "kv": combination["kv"], "text": plan.tokenized,
        **{name: combination.number(name) for name in ("threads", "prompt", "generate", "depth", "batch")},
    }  # fmt: skip
    python, environment = _interpreter(plan, combination)
    command = [python, "-P", str(_WORKER)]
    return run_process(command, environment, plan.pace.timeout, json.dumps(request).encode(), cpus)


def _interpreter(plan: Plan, combination: Combination) -> tuple[str, dict[str, str]]:
    """The build's interpreter and its environment."""
    environment = dict(os.environ)
    build = plan.builds[combination.text("build") or "this"]
    if build.python:
        environment = {name: value for name, value in environment.items() if name not in _OTHERS_PYTHON}
    else:
        paths = [str(Path(__file__).resolve().parents[2]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    if features := combination.text("features"):
        environment["Q4_CPU_FEATURES"] = features
    environment |= dict.fromkeys(_BLAS, str(combination.number("threads") or 1))
    return build.python or sys.executable, environment | dict(build.variables)


def _told(engine: Engine, combination: Combination, ended: Ended) -> tuple[Told, str]:
    """What was told, and why it is no result."""
    nothing = Told([], [], {})
    if ended.reason:
        return nothing, ended.reason
    try:
        told = _by_patterns(engine, combination, ended) if engine.command else _by_worker(ended)
    except Q4Error as error:
        return nothing, str(error)
    wrong = next((each for each in told.samples if not (each.seconds > 0 and math.isfinite(each.seconds))), None)
    return (nothing, f"{wrong.phase}: {wrong.seconds} s cannot be") if wrong else (told, "")


def _by_worker(ended: Ended) -> Told:
    try:
        answer = json.loads(ended.out.splitlines()[-1])
        if "error" in answer:
            raise Q4Error(str(answer["error"]).splitlines()[0])
        samples = [Sample(phase, tokens, seconds) for phase, tokens, seconds in answer["samples"]]
        components = [Sample(phase, tokens, seconds, name) for phase, name, tokens, seconds in answer["components"]]
        tokens = [(int(n_past), float(seconds)) for n_past, seconds in answer.get("tokens", [])]
        return Told(samples, components, answer["facts"], answer["migrations"], tokens)
    except (IndexError, KeyError, TypeError, ValueError):
        raise Q4Error(f"the run's process said {shown(ended.out)}, expected its times") from None


def _by_patterns(engine: Engine, combination: Combination, ended: Ended) -> Told:
    samples: list[Sample] = []
    for reading in engine.readings:
        tokens = {"prefill": combination.number("prompt"), "decode": combination.number("generate")}.get(
            reading.phase
        ) or 1
        found = list(_seconds(reading, tokens, ended))
        if not found:
            raise Q4Error(f"{reading.phase}: nothing in the output fits its pattern")
        samples += [Sample(reading.phase, tokens, seconds) for seconds in found]
    return Told(samples, [], {"engine": engine.name})


def _seconds(reading: Reading, tokens: int, ended: Ended) -> list[float]:
    if reading.pattern is None:
        return [ended.seconds]
    found = []
    for match in reading.pattern.finditer(f"{ended.out}\n{ended.err}"):
        try:
            number = float(match[1])
        except (TypeError, ValueError):
            raise Q4Error(f"{reading.phase}: {shown(match[1])} is no number") from None
        if not number > 0 or not math.isfinite(number):
            raise Q4Error(f"{reading.phase}: {number:g} cannot be a {'rate' if reading.is_rate else 'time'}")
        found.append(tokens / number if reading.is_rate else number)
    return found[:_MOST_SAMPLES]
