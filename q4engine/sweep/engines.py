"""Who is measured, as a table: q4engine's backends, llama.cpp, and any program by a template of its command."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from q4engine.errors import Q4Error, shown
from q4engine.sweep.combination import NAMES
from q4engine.sweep.plan_tables import of_table, one_text, only, variables_of

PHASES = ("load", "tokenize", "prefill", "decode", "whole")
"""What is timed: until the model can be used, a text as tokens, the prompt, what comes behind it, a whole life."""
_WALL = "wall"
_NAME = re.compile(r"[^\s,\"']([^\n,\"']{0,58}[^\s,\"'])?")


@dataclass(frozen=True)
class Reading:
    """Where a program's output tells a time: ``pattern``'s group is seconds, or tokens a second if ``is_rate``.

    Without a pattern it is the time from the program's start to its end.
    """

    phase: str
    pattern: re.Pattern[str] | None
    is_rate: bool = False


@dataclass(frozen=True)
class Engine:
    """``axes``: what it is told of. ``command`` is empty for those that q4engine drives itself.

    ``python``: the interpreter that has it, where it is not the build's.
    """

    name: str
    axes: frozenset[str]
    command: tuple[str, ...] = ()
    readings: tuple[Reading, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    python: str = ""

    @property
    def placeholders(self) -> set[str]:
        return {name for word in self.command for name in _names_in(word)}

    def as_data(self) -> list[Any]:
        """All that makes it measure as it does, the same in every process."""
        readings = [[each.phase, each.pattern and each.pattern.pattern, each.is_rate] for each in self.readings]
        return [list(self.command), readings, [list(pair) for pair in self.variables], self.python]

    def words(self, values: Mapping[str, object]) -> list[str]:
        """The command with the placeholders filled in."""
        return [word.format_map({key: _text(value) for key, value in values.items()}) for word in self.command]


_COMMON = frozenset(
    {"engine", "model", "type", "threads", "mask", "prompt", "generate", "depth", "batch", "kv", "machine"}
)
NATIVE, NUMPY, LLAMA_CPP, TRANSFORMERS = "native", "numpy", "llama.cpp", "transformers"
BUILT_IN = {
    NATIVE: Engine(NATIVE, _COMMON | {"build", "features"}),
    NUMPY: Engine(NUMPY, _COMMON | {"build"}),
    LLAMA_CPP: Engine(LLAMA_CPP, _COMMON),
    TRANSFORMERS: Engine(TRANSFORMERS, _COMMON - {"kv"}),
}


def engines_of(table: Mapping[str, Any]) -> dict[str, Engine]:
    """The engines that a plan may name: those built in, and its own [engines.NAME]. Q4Error names what is wrong."""
    found = dict(BUILT_IN)
    for name, given in table.items():
        place = f"engines.{name}"
        if not _NAME.fullmatch(name):
            raise Q4Error(f"[engines]: {shown(name)} is no name for an engine")
        given = of_table(given, place)
        if name in BUILT_IN:
            only(given, place, ("python",))
            if name not in (LLAMA_CPP, TRANSFORMERS):
                raise Q4Error(f"[{place}]: q4engine's own come with a build: give [builds.NAME] python = …")
            found[name] = Engine(name, BUILT_IN[name].axes, python=one_text(given.get("python"), f"{place}.python"))
        else:
            found[name] = _commanded(name, given, place)
    return found


def _commanded(name: str, given: Mapping[str, Any], place: str) -> Engine:
    only(given, place, ("command", "environment", *PHASES))
    command = given.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) and word for word in command):
        raise Q4Error(f'[{place}]: command is a list of words, as ["./run", "{{model}}", "-n", "{{generate}}"]')
    readings = tuple(_reading(phase, given[phase], place) for phase in PHASES if phase in given)
    if not readings:
        raise Q4Error(f"[{place}]: say where a time is told: {', '.join(PHASES)} = {{ seconds = 'took ([0-9.]+) s' }}")
    engine = Engine(name, frozenset(), tuple(command), readings, variables_of(given, place))
    if unknown := sorted(engine.placeholders - set(NAMES)):
        raise Q4Error(f"[{place}]: command: there is no {{{unknown[0]}}}, expected {', '.join(NAMES)}")
    axes = engine.placeholders | {"engine", "mask", "machine"} | ({"type"} if "model" in engine.placeholders else set())
    return Engine(name, frozenset(axes), engine.command, readings, engine.variables)


def _reading(phase: str, given: object, place: str) -> Reading:
    if given == _WALL:
        return Reading(phase, None)
    if not isinstance(given, dict) or len(given) != 1 or next(iter(given)) not in ("seconds", "rate"):
        raise Q4Error(f'[{place}]: {phase} = {{ seconds = PATTERN }}, {{ rate = PATTERN }} or "{_WALL}"')
    ((kind, pattern),) = given.items()
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise Q4Error(f"[{place}]: {phase}.{kind}: {shown(pattern)} is no pattern: {error}") from None
    if compiled.groups != 1:
        raise Q4Error(f"[{place}]: {phase}.{kind}: the pattern has {compiled.groups} groups, expected 1: the number")
    return Reading(phase, compiled, kind == "rate")


def _names_in(word: str) -> list[str]:
    try:
        parts = list(string.Formatter().parse(word))
    except ValueError as error:
        raise Q4Error(f"command: {shown(word)}: {error} (a brace is written twice)") from None
    if any(spec or conversion for _, name, spec, conversion in parts if name is not None):
        raise Q4Error(f"command: {shown(word)}: a placeholder is a name alone")
    return [name for _, name, _, _ in parts if name is not None]


def _text(value: object) -> str:
    return "" if value is None else str(value)
