"""Synthetic sweeps: plans whose engine is a program that states its time, and results with known answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from analysis.sweep_file import AXES
from analysis.sweep_results import Setup
from q4engine.sweep.combination import Combination
from q4engine.sweep.plan_file import Plan, plan_of
from q4engine.sweep.results import Results, Run, Sample
from q4engine.sweep.sweeping import planned

PROGRAM = Path(__file__).with_name("synthetic_engine.py")
NAME = "synthetic"
MACHINE = {"cpu": "synthetic", "commit": "0123456789ab"}

TOML = """
repetitions = {blocks}
seed = 7
[axes]
engine = ["synthetic"]
threads = {threads}
prompt = {prompts}
[engines.synthetic]
command = ["{python}", "-S", "-E", "{program}", "{seconds}", "{log}", "threads={{threads}}", "prompt={{prompt}}"]
prefill = {{ seconds = 'took ([0-9.]+) s' }}
"""


def write_plan(
    folder: Path, blocks: int, threads: list[int], prompts: list[int], seconds: str = "0.25"
) -> tuple[Path, Path]:
    """A plan of the synthetic engine, and the file that gets a line a run."""
    path, log = folder / "plan.toml", folder / "runs.log"
    given = {"python": sys.executable, "program": PROGRAM, "log": log, "seconds": seconds}
    path.write_text(TOML.format(blocks=blocks, threads=threads, prompts=prompts, **given))
    return path, log


def synthetic_plan(axes: Mapping[str, Any], blocks: int = 10, **pace: Any) -> Plan:
    """A plan of an engine that is never started."""
    engine = {"command": ["synthetic", *(f"{{{axis}}}" for axis in axes)], "prefill": "wall"}
    data = {"axes": {"engine": [NAME], **axes}, "engines": {NAME: engine}, "repetitions": blocks, **pace}
    return plan_of(data, "synthetic", Path())


def write_results(
    path: Path, plan: Plan, seconds: Callable[[Combination, int, float], list[float]], tokens: int = 10
) -> Path:
    """Results of the plan's runs in its order. ``seconds``: a token's in each sample of a run, of the combination, the
    block and the run's place in the sweep, 0 to 1."""
    order = list(planned(plan))
    with Results(path) as results:
        results.begin(plan.name, plan.settings(), {})
        for number, (block, combination) in enumerate(order):
            times = seconds(combination, block, number / max(1, len(order) - 1))
            samples = [Sample("prefill", tokens, tokens * each) for each in times]
            state = "done" if samples else "failed"
            results.add(
                Run(combination, block, state, "" if samples else "synthetic", samples=samples, machine=MACHINE)
            )
    return path


def setup(known_by: str, model_size: int | None = None, **values: Any) -> Setup:
    """What the analysis reads of a combination with these values alone."""
    return Setup(known_by, dict.fromkeys(AXES) | values, model_size)
