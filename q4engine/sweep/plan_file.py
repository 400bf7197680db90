"""A plan: TOML to axes, constraints and how runs are repeated; docs/experiments.md has every key."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis import sweep_file
from q4engine.cpus import default_thread_count, parse_cpu_mask, without_crowd
from q4engine.errors import Q4Error, shown
from q4engine.gguf.mixtures import TARGETS
from q4engine.kv_forms import KV_FORMS
from q4engine.sweep.builds import MATRIX, Build, builds_of, of_matrix
from q4engine.sweep.combination import AXES, NAMES, Axis, Combination, Value
from q4engine.sweep.constraint import Constraint, constraints_of
from q4engine.sweep.engines import Engine, engines_of
from q4engine.sweep.other_machines import HERE, Machine, machines_of
from q4engine.sweep.plan_tables import one_text, text_of
from q4engine.sweep.scored_models import ScoredText, scored_text

MOST_COMBINATIONS = 25_000  # each costs some 40 µs before anything runs, each run some 5
_MOST_RUNS = 100_000
_MOST_STEPS = 2_000_000
_MOST_BYTES = 1 << 16
_MOST_DOTS = 1000  # in a line: tomllib takes the square of a key's parts
_MOST_SECONDS = 30 * 86400.0
_CPUS = "cpus"
_TABLES = ("axes", "engines", "builds", "matrix", "machines", "perplexity")


@dataclass(frozen=True)
class Pace:
    """How runs are repeated and how each is made.

    ``blocks``: of them at most, without a target exactly. ``target``: half-width of the interval of each median, as a
    share of it. ``budget``: seconds of all runs together. ``samples``: measurements within a run, whose median is its
    value. ``components``: time by operation, in one pass more that is not among the samples; ``tokens``: of each token,
    and ``captures``: a capture, the same way.
    """

    blocks: int = 10
    target: float | None = None
    budget: float | None = None
    samples: int = 3
    seed: int = 1
    warm_up: bool = True
    cooldown: float = 0.0
    timeout: float = 3600.0
    components: bool = False
    tokens: bool = False
    captures: bool = False


@dataclass(frozen=True)
class Plan:
    """``skipped``: how many combinations each constraint took out. ``folder``: from which models are named.

    ``data``: the plan as it was read. ``captures``: the folder where they go, None where there are none.
    ``tokenized``: a text that each run tokenises once.
    """

    name: str
    pace: Pace
    combinations: tuple[Combination, ...]
    skipped: tuple[tuple[str, int], ...] = ()
    engines: Mapping[str, Engine] = field(default_factory=lambda: engines_of({}))
    builds: Mapping[str, Build] = field(default_factory=lambda: builds_of({}, {}, Path()))
    machines: Mapping[str, Machine] = field(default_factory=lambda: machines_of({}, Path()))
    folder: Path = Path()
    data: Mapping[str, Any] = field(default_factory=dict)
    text: ScoredText | None = None
    tokenized: str = ""
    captures: Path | None = None

    def settings(self) -> dict[str, Any]:
        """What results must have in common to stand in one file, as data; axes and blocks may grow."""
        pace = self.pace
        used = {str(each["engine"]) for each in self.combinations}
        builds = sorted({each.text("build") for each in self.combinations} - {""})
        commands = {name: self.engines[name].as_data() for name in sorted(used)}
        machines = sorted({each.text("machine") for each in self.combinations} - {"", HERE})
        others: dict[str, Any] = (
            {"machines": {name: self.machines[name].as_data() for name in machines}} if machines else {}
        )
        others |= {"perplexity": self.text.as_data()} if self.text else {}
        others |= {"tokenize": hashlib.sha256(self.tokenized.encode()).hexdigest()[:16]} if self.tokenized else {}
        return {
            "seed": pace.seed, "samples": pace.samples, "warm_up": pace.warm_up, "cooldown": pace.cooldown,
            "components": pace.components, "engines": commands,
            "builds": {name: self.builds[name].as_data() for name in builds}, **others,
        }  # fmt: skip

    def model_path(self, combination: Combination) -> Path | None:
        """The file that the plan names; None where the engine is not told of one."""
        name = combination.text("model")
        return self.folder / name if name else None


def read_plan(path: Path) -> Plan:
    """A plan file. Q4Error names what is wrong with it."""
    try:
        if path.exists() and not path.is_file():
            raise Q4Error(f"{path}: cannot be read: it is no regular file")
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise Q4Error(f"{path}: is larger than {_MOST_BYTES >> 10} KiB, expected a plan")
        for number, line in enumerate(raw.split(b"\n"), 1):
            if line.count(b".") > _MOST_DOTS:
                raise Q4Error(f"{path}: line {number} has more than {_MOST_DOTS} dots, expected a plan")
        data = tomllib.loads(raw.decode("utf-8"))
    except OSError as error:
        raise Q4Error(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # no TOML, no text, or a number of thousands of digits
        raise Q4Error(f"{path}: is no TOML: {error}") from None
    try:
        return plan_of(data, path.stem, path.parent)
    except Q4Error as error:
        raise Q4Error(f"{path}: {error}") from None


def plan_of(data: Mapping[str, Any], name: str, folder: Path) -> Plan:
    """The plan of a parsed file, whose models are named from ``folder``. Q4Error names the key that is wrong."""
    known = ("name", "skip", "tokenize", *_TABLES, *_PACE)
    for key in data:
        if key not in known:
            raise Q4Error(f"there is no {shown(key)}, expected {', '.join(known)}")
    tables = {key: data.get(key, {}) for key in _TABLES}
    for key, table in tables.items():
        if not isinstance(table, dict):
            raise Q4Error(f"{key}: found {shown(table)}, expected a table: [{key}]")
    pace = Pace(
        **{key if key != "repetitions" else "blocks": _PACE[key](key, data[key]) for key in _PACE if key in data}
    )
    if pace.target is not None and "repetitions" not in data:
        pace = Pace(**{**vars(pace), "blocks": 100})
    engines, builds = engines_of(tables["engines"]), builds_of(tables["builds"], tables["matrix"], folder)
    values = _values_of_axes(tables["axes"])
    if MATRIX in values["build"] and not of_matrix(builds):
        raise Q4Error(f'[axes]: build: "{MATRIX}" is all of [matrix] that run here: there are none')
    values["build"] = list(
        dict.fromkeys(each for name in values["build"] for each in (of_matrix(builds) if name == MATRIX else [name]))
    )
    machines = machines_of(tables["machines"], folder)
    _check_names(values, {"engine": engines, "build": builds, "machine": machines})
    found, skipped = _expanded(values, engines, constraints_of(data.get("skip", []), (*NAMES, _CPUS)))
    if not found:
        raise Q4Error(
            "the plan has no runs: " + ("every combination is skipped" if skipped else "prompt and generate are 0")
        )
    if len(found) * pace.blocks > _MOST_RUNS:
        raise Q4Error(f"{len(found)} combinations in {pace.blocks} blocks are more than {_MOST_RUNS} runs")
    title = data.get("name", name)
    if not isinstance(title, str):
        raise Q4Error(f"name: found {shown(title)}, expected a text")
    text = scored_text(tables["perplexity"], folder)
    taken = tuple(skipped.items())
    tokenized = text_of(folder / one_text(data["tokenize"], "tokenize"), "tokenize") if "tokenize" in data else ""
    return Plan(title, pace, tuple(found), taken, engines, builds, machines, folder, data, text, tokenized)


def _number(low: float, high: float, whole: bool = False) -> Any:
    def checked(key: str, value: object) -> float:
        kinds: tuple[type, ...] = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:  # type: ignore[operator]
            kind = "a whole number" if whole else "a number"
            raise Q4Error(f"{key}: found {shown(value)}, expected {kind} from {low:g} to {high:g}")
        return value  # type: ignore[return-value]

    return checked


def _truth(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise Q4Error(f"{key}: found {shown(value)}, expected true or false")
    return value


_PACE = {
    "repetitions": _number(1, sweep_file.MOST_BLOCKS, whole=True),
    "target": _number(1e-6, 1.0),
    "budget": _number(0.001, _MOST_SECONDS),
    "samples": _number(1, 10_000, whole=True),
    "seed": _number(0, 2**63 - 1, whole=True),
    "warm_up": _truth,
    "cooldown": _number(0, 86400),
    "timeout": _number(0.001, _MOST_SECONDS),
    "components": _truth,
    "tokens": _truth,
    "captures": _truth,
}
"""Keys that say how runs are made, each with its check."""


def _values_of_axes(table: Mapping[str, Any]) -> dict[str, list[Value]]:
    if unknown := sorted(set(table) - set(NAMES)):
        raise Q4Error(f"[axes]: there is no {shown(unknown[0])}, expected {', '.join(NAMES)}")
    found: dict[str, list[Value]] = {}
    for axis in AXES:
        given = table.get(axis.name)
        if given is None:
            found[axis.name] = [default_thread_count() if axis.name == "threads" else axis.default]
            continue
        values = given if isinstance(given, list) else [given]
        if not values:
            raise Q4Error(f"[axes]: {axis.name} is empty")
        found[axis.name] = list(dict.fromkeys(_one_value(axis, value) for value in values))
    return found


def _one_value(axis: Axis, value: object) -> Value:
    if axis.is_number:
        whole: int = _number(axis.low or 0, axis.high, whole=True)(f"[axes]: {axis.name}", value)
        return whole
    if not isinstance(value, str) or "\0" in value:
        raise Q4Error(f"[axes]: {axis.name}: found {shown(value)}, expected a text")
    try:
        if axis.name == "mask" and value:
            parse_cpu_mask(value)
    except Q4Error as error:
        raise Q4Error(f"[axes]: mask: {error}") from None
    if axis.name == "type" and value and value.lower() not in TARGETS:
        raise Q4Error(
            f'[axes]: type: there is no {shown(value)}, expected {", ".join(TARGETS)}, or "" for the file as it is'
        )
    if axis.name == "kv" and value not in KV_FORMS:
        raise Q4Error(f"[axes]: kv: there is no {shown(value)}, expected {', '.join(KV_FORMS)}")
    return value.lower() if axis.name == "type" else value


def _check_names(values: Mapping[str, Sequence[Value]], tables: Mapping[str, Mapping[str, Any]]) -> None:
    engines = tables["engine"]
    for axis, known in tables.items():
        for name in values[axis]:
            if name not in known:
                expected = f"expected {', '.join(known)}, or a table [{axis}s.{name}]"
                raise Q4Error(f"[axes]: {axis}: there is no {shown(name)}, {expected}")
    needing = [name for name in values["engine"] if "model" in engines[str(name)].axes]
    if needing and not all(values["model"]):
        raise Q4Error(f"[axes]: give model = [GGUF files], which {needing[0]} needs")


def _expanded(
    values: Mapping[str, list[Value]], engines: Mapping[str, Engine], constraints: Sequence[Constraint]
) -> tuple[list[Combination], dict[str, int]]:
    """Combinations that remain, each once, and how many each constraint took."""
    found: dict[Combination, None] = {}
    skipped: dict[str, dict[Combination, None]] = {}
    n = sum(math.prod(map(len, axes)) for axes in _axes(values, engines))
    if n > MOST_COMBINATIONS:
        raise Q4Error(f"the axes have {n} combinations, expected at most {MOST_COMBINATIONS}")
    n_parts = sum(each.n_parts for each in constraints)
    if n * n_parts > _MOST_STEPS:
        raise Q4Error(
            f"skip: {n_parts} names, numbers and signs for {n} combinations, expected at most {_MOST_STEPS // n}"
        )
    for combination in itertools.chain.from_iterable(
        map(Combination, itertools.product(*axes)) for axes in _axes(values, engines)
    ):
        known = {**combination.as_dict(), _CPUS: _cpus(combination)}
        hit = next((each.text for each in constraints if each.holds(known)), None) or _only_here(combination)
        if hit is not None:
            skipped.setdefault(hit, {})[combination] = None
        elif combination.number("prompt") or combination.number("generate") or not _drives(engines, combination):
            found[combination] = None
    return list(found), {text: len(taken) for text, taken in skipped.items()}


def _only_here(combination: Combination) -> str | None:
    """Builds are made, and lie, on this machine."""
    if combination["machine"] in (None, HERE) or combination["build"] in (None, "this"):
        return None
    return "machine != 'here' and build != 'this'"


def _axes(values: Mapping[str, list[Value]], engines: Mapping[str, Engine]) -> Iterator[Sequence[Sequence[Value]]]:
    """The values for each engine. What it is not told of has none, so that there is one run of it, not one a value."""
    for name in values["engine"]:
        told = engines[str(name)].axes
        yield [[name] if axis == "engine" else values[axis] if axis in told else [None] for axis in NAMES]


def _drives(engines: Mapping[str, Engine], combination: Combination) -> bool:
    """Whether q4engine runs the measurement: without tokens there is nothing to measure then."""
    return not engines[combination.text("engine")].command


def _cpus(combination: Combination) -> int:
    """Those of this machine: of another nothing is known before it is reached."""
    mask = combination.text("mask")
    return len(parse_cpu_mask(mask)) if mask else len(os.sched_getaffinity(0))


def crowded(plan: Plan) -> list[str]:
    """Combinations whose threads would take turns on their CPUs, of this machine."""
    found = []
    for each in (each for each in plan.combinations if each["machine"] in (None, HERE)):
        cpus = parse_cpu_mask(each.text("mask")) if each.text("mask") else None
        if without_crowd(each.number("threads") or 1, cpus)[1]:
            found.append(str(each))
    return found


def as_text(plan: Plan) -> str:
    """The plan as one JSON text, to be kept with its results."""
    return json.dumps({"name": plan.name, "pace": vars(plan.pace), "settings": plan.settings()}, sort_keys=True)
