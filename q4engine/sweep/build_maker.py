"""Makes the builds of a plan's [matrix] before anything is timed, by the source tree's own tools."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from q4engine.errors import Q4Error, shown
from q4engine.sweep.builds import Build, Recipe
from q4engine.sweep.plan_file import Plan
from q4engine.sweep.process import run_process

_SCRIPT = Path("toolchains") / "variants.py"


@dataclass(frozen=True)
class MadeBuilds:
    """``builds``: of the plan, with interpreters. ``facts``: of each that was made.

    ``skipped``: builds that do not exist here, ``failed``: that could not be made, both with the reason.
    """

    builds: Mapping[str, Build]
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def make_builds(plan: Plan, tell: Callable[[str], None]) -> MadeBuilds:
    """Those that combinations of the plan name."""
    builds = dict(plan.builds)
    facts: dict[str, Mapping[str, Any]] = {}
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    for name in dict.fromkeys(each.text("build") for each in plan.combinations):
        recipe = builds[name].recipe if name in builds else None
        if recipe is None:
            continue
        tell(f"build {name}")
        answer = make_one(recipe)
        if "skipped" in answer:
            skipped[name] = str(answer["skipped"])
        elif "failed" in answer:
            failed[name] = str(answer["failed"])
        else:
            builds[name] = replace(builds[name], python=str(answer["python"]))
            facts[name] = dict(answer["facts"])
    return MadeBuilds(builds, facts, skipped, failed)


def make_one(recipe: Recipe) -> Mapping[str, Any]:
    """What variants.py answers. Q4Error where the source tree has none."""
    script = Path(recipe.source) / _SCRIPT
    if not script.is_file():
        raise Q4Error(f"[matrix]: source: {recipe.source}: found no {_SCRIPT} in it, expected q4engine's source tree")
    done = run_process([sys.executable, str(script), json.dumps(recipe.as_data())], os.environ, math.inf)
    try:
        answer: Mapping[str, Any] = json.loads(done.out.splitlines()[-1])
        return answer if isinstance(answer, dict) else {"failed": shown(answer)}
    except (IndexError, ValueError):
        lines = done.err.strip().splitlines()
        return {"failed": shown(lines[-1] if lines else f"{script} said nothing", 200)}


def without(plan: Plan, made: MadeBuilds) -> Plan:
    """The plan without builds that do not exist here. Q4Error where nothing is left."""
    kept = tuple(each for each in plan.combinations if each.text("build") not in made.skipped)
    if not kept:
        raise Q4Error("no build of the plan exists here")
    return replace(plan, combinations=kept, builds=made.builds)
