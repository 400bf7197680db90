"""Builds of q4engine as an axis: interpreters that have one, and the matrix of compilers and flags that makes them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from q4engine.errors import Q4Error, shown
from q4engine.sweep.constraint import Constraint, constraints_of
from q4engine.sweep.plan_tables import of_table, one_text, only, variables_of

HOST, ARM = "host", "aarch64"
MATRIX = "matrix"
"""On the axis: every build of [matrix] for the host."""


@dataclass(frozen=True)
class Recipe:
    """How a build is made of the source tree ``source``, by its toolchains/variants.py.

    ``compiler``: a program's name, as gcc, gcc-13, clang-19 or zig. ``cpu``: in its words; "": the base architecture.
    """

    source: str
    compiler: str = "gcc"
    level: str = "-O3"
    lto: bool = False
    cpu: str = ""
    flags: tuple[str, ...] = ()
    target: str = HOST

    def as_data(self) -> dict[str, Any]:
        """Without the place of the source."""
        return {name: value for name, value in asdict(self).items() if name != "source"}

    def __str__(self) -> str:
        """ "clang -O2 lto cpu=native aarch64" """
        words = [self.compiler, self.level, "lto" if self.lto else "", f"cpu={self.cpu}" if self.cpu else ""]
        words += [*self.flags, self.target if self.target != HOST else ""]
        return " ".join(filter(None, words))


@dataclass(frozen=True)
class Build:
    """An interpreter that has q4engine installed, empty: this one. ``variables``: of its environment.

    ``recipe``: how it is made, where the plan tells.
    """

    name: str
    python: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    recipe: Recipe | None = None

    def as_data(self) -> list[Any]:
        made = [self.recipe.as_data()] if self.recipe else []
        return ["" if self.recipe else self.python, [list(pair) for pair in self.variables], *made]


# Flags that let a compiler change what is computed, with the reason. Sources: GCC's manual ("Options That Control
# Optimization", "AArch64 Options", "x86 Options"), Clang's ("Controlling Floating Point Behavior").
_BREAKING = (
    (r"-Ofast|-ffast-math|-ffp-model=.*|-funsafe-math-optimizations", "is fast-math"),
    (r"-ffp-contract=(?!off$).*", "contracts multiplications and additions"),
    (r"-fassociative-math|-freciprocal-math|-fapprox-func|-mrecip.*|-mlow-precision-.*", "changes what is computed"),
    (r"-ffinite-math-only|-fno-signed-zeros|-fno-honor-.*|-fsingle-precision-constant", "changes what is computed"),
    (r"-fdenormal-fp-math.*|-mdaz-ftz|-mfpmath=.*|-mno-sse.*|-mpc(32|64|80)", "changes how numbers are rounded"),
    (r"-frounding-math|-fexcess-precision=(?!standard$).*", "changes how numbers are rounded"),
)  # fmt: skip
_KNOWN = re.compile(r"-f[a-z0-9=-]+|-m(?!cpu=|arch=)[a-z0-9=.,+-]+|--param=[a-z0-9=-]+")
_LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os", "-Oz")
_COMPILER = re.compile(r"(gcc|clang|zig)(-[0-9]+(\.[0-9]+)*)?")
_CPU = re.compile(r"[a-zA-Z0-9_.+-]*")
_MATRIX_AXES = ("compiler", "level", "lto", "cpu", "flags", "target")
_MATRIX_KEYS = ("source", *_MATRIX_AXES, "skip")
_MOST_BUILDS = 1000


def refused(flag: str) -> str:
    """Why a build may not have this flag; empty where it may. -ffp-contract=off comes last in any case."""
    for pattern, why in _BREAKING:
        if re.fullmatch(pattern, flag):
            return f"{shown(flag)} {why}, and a build's bits must hold"
    return "" if _KNOWN.fullmatch(flag) else f"{shown(flag)} is no flag of an optimiser: -f…, -m… or --param=…"


def builds_of(table: Mapping[str, Any], matrix: Mapping[str, Any], folder: Path) -> dict[str, Build]:
    """The builds that a plan may name: "this", its own [builds.NAME], and those of [matrix].

    ``folder``: from which the source tree is named. Q4Error names what is wrong.
    """
    found = {"this": Build("this")}
    for name, given in table.items():
        place = f"builds.{name}"
        given = of_table(given, place)
        only(given, place, ("python", "environment"))
        python = one_text(given.get("python", ""), f"{place}.python", may_be_empty=True)
        found[name] = Build(name, python, variables_of(given, place))
    if MATRIX in found:
        raise Q4Error(f'[builds.{MATRIX}]: "{MATRIX}" stands for the builds of [matrix]')
    return found | {str(recipe): Build(str(recipe), recipe=recipe) for recipe in _recipes(matrix, folder)}


def of_matrix(builds: Mapping[str, Build]) -> list[str]:
    """Names of the builds of [matrix] that run here."""
    return [build.name for build in builds.values() if build.recipe is not None and build.recipe.target == HOST]


def _recipes(matrix: Mapping[str, Any], folder: Path) -> list[Recipe]:
    if not matrix:
        return []
    only(matrix, "matrix", _MATRIX_KEYS)
    source = str(folder / one_text(matrix.get("source"), "matrix.source"))
    values: list[list[Any]] = [
        _several(matrix, "compiler", ["gcc"], lambda each: bool(_COMPILER.fullmatch(each)), "gcc, clang-19, zig"),
        _several(matrix, "level", ["-O3"], _LEVELS.__contains__, ", ".join(_LEVELS)),
        _truths(matrix),
        _several(matrix, "cpu", [""], lambda each: bool(_CPU.fullmatch(each)), "a CPU as native, or an empty text"),
        _flag_lists(matrix),
        _several(matrix, "target", [HOST], (HOST, ARM).__contains__, f"{HOST}, {ARM}"),
    ]
    if (count := math.prod(map(len, values))) > _MOST_BUILDS:
        raise Q4Error(f"[matrix]: has {count} builds, expected at most {_MOST_BUILDS}")
    try:
        skip = constraints_of(matrix.get("skip", []), _MATRIX_AXES)
        found = [Recipe(source, *each) for each in itertools.product(*values) if not _skipped(each, skip)]
    except Q4Error as error:
        raise Q4Error(f"[matrix]: {error}") from None
    if not found:
        raise Q4Error("[matrix]: has no builds: every combination is skipped")
    return found


def _skipped(values: Sequence[Any], constraints: Sequence[Constraint]) -> bool:
    known = dict(zip(_MATRIX_AXES, values, strict=True))
    known["flags"] = " ".join(known["flags"])
    return any(constraint.holds(known) for constraint in constraints)


def _several(matrix: Mapping[str, Any], key: str, usual: list[str], holds: Any, expected: str) -> list[str]:
    given = matrix.get(key, usual)
    values = given if isinstance(given, list) else [given]
    for value in values:
        if not isinstance(value, str) or not holds(value):
            raise Q4Error(f"[matrix]: {key}: found {shown(value)}, expected {expected}")
    if not values:
        raise Q4Error(f"[matrix]: {key} is empty")
    return list(dict.fromkeys(values))


def _truths(matrix: Mapping[str, Any]) -> list[bool]:
    given = matrix.get("lto", False)
    values = given if isinstance(given, list) else [given]
    if not values or not all(isinstance(value, bool) for value in values):
        raise Q4Error(f"[matrix]: lto: found {shown(given)}, expected false, true or both")
    return list(dict.fromkeys(values))


def _flag_lists(matrix: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Each value is a text of flags with blanks between."""
    found = []
    for text in _several(matrix, "flags", [""], lambda _: True, "a text of flags"):
        flags = tuple(text.split())
        if why := next(filter(None, map(refused, flags)), ""):
            raise Q4Error(f"[matrix]: flags: {why}")
        found.append(flags)
    return list(dict.fromkeys(found))
