"""What compilers and flags make of the same source: ``python toolchains/matrix.py PLAN.toml``, or ``make matrix``.

Of every build of the plan's [matrix] (docs/experiments.md): size of its code and wheel, how long it took to make, and
whether its bits are those of every other; for aarch64 also instructions of the kernels under qemu, and their cycles by
LLVM's models of cores. Builds that do not exist here are listed with the reason. Speed is q4engine sweep's matter, on
the same plan. Exit code 1 where a build fails or its bits differ.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import arm64_python
from arm import DEFAULT_CPU
from host import NATIVE_ARM, REPO, ToolError, UsageError, main, run, say
from kernel_cost import mca
from kernel_cost.__main__ import count, cycles
from kernel_cost.emulate import Emulator
from qemu import require_qemu
from requirements import requirements
from variants import Absent, Made, compiler_of, family, make

from q4engine.errors import Q4Error
from q4engine.sweep.builds import ARM, Recipe, builds_of

_BITS = REPO / "tests" / "golden" / "check_fingerprints.py"
_CORE = mca.CORES[0].name
_KERNELS = ("q4_0_gemv_dotprod", "q4_0_gemm_i8mm")


@dataclass
class Row:
    """Of one build. ``bits``: how many golden fingerprints it was held against; 0: none yet.

    ``kernels``: by name instructions and work a cycle of one core. ``wrong``: what fails.
    """

    recipe: Recipe
    facts: Mapping[str, Any] = field(default_factory=dict)
    bits: int = 0
    kernels: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    skipped: str = ""
    wrong: str = ""

    @property
    def outcome(self) -> str:
        return self.wrong or self.skipped or f"{self.bits} fingerprints are equal"

    def as_data(self) -> dict[str, Any]:
        kept = {key: value for key, value in vars(self).items() if key != "recipe" and value}
        return {"build": str(self.recipe), **kept}


def recipes_of(path: Path) -> list[Recipe]:
    """Of the plan's [matrix]. UsageError where there is none."""
    try:
        data = tomllib.loads(path.read_text())
        builds = builds_of({}, data.get("matrix", {}), path.parent)
    except (ValueError, Q4Error, OSError) as error:
        raise UsageError(f"{path}: {error}") from None
    found = [build.recipe for build in builds.values() if build.recipe is not None]
    if not found:
        raise UsageError(f"{path}: has no [matrix]")
    if other := next((each.source for each in found if Path(each.source).resolve() != REPO), None):
        raise UsageError(f"{path}: the matrix is of {other}: use that tree's own toolchains/matrix.py")
    return found


def row_of(recipe: Recipe, kernels: Sequence[str]) -> Row:
    """Makes the build and looks at it."""
    row = Row(recipe)
    try:
        made = make(recipe)
        row.facts = made.facts
        row.bits = held_bits(made)
        if recipe.target == ARM and family(recipe) != "zig" and kernels:
            row.kernels = kernels_of(made, kernels)
    except Absent as error:
        row.skipped = str(error)
    except ToolError as error:
        row.wrong = str(error)
    return row


def held_bits(made: Made) -> int:
    """How many golden fingerprints it has; ToolError where one differs."""
    words = [str(_BITS), "--features", "" if made.python else "best"]
    if made.python:
        command = [str(made.python), *words]
    else:
        code = f"import runpy, sys; sys.path.insert(0, {str(made.site)!r}); sys.argv = {words!r}; "
        command = [str(arm64_python.PYTHON), "-c", f"{code}runpy.run_path(sys.argv[0], run_name='__main__')"]
    done = subprocess.run(
        command, env={**os.environ, "QEMU_CPU": DEFAULT_CPU}, capture_output=True, text=True, errors="replace"
    )
    said = (done.stdout.strip() or done.stderr.strip() or f"ended by signal {-done.returncode}").splitlines()[-1]
    if done.returncode != 0:
        raise ToolError(f"bits: {said[:200]}")
    return int(said.split()[0])


def kernels_of(made: Made, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Instructions, and work a cycle where LLVM's tools are here, of the kernels with these names."""
    run(["cmake", "--build", made.folder, "--target", "q4_kernel_cost"], compiler_of(made.recipe).environment)
    emulator = Emulator(made.folder / "q4_kernel_cost")
    subjects = {subject.label: subject for subject in emulator.subjects()}
    code = mca.disassemble(emulator.binary) if mca.available() else {}
    found: dict[str, Mapping[str, Any]] = {}
    for name in names:
        if name not in subjects:
            raise ToolError(f"it has no kernel {name}")
        row = count(emulator, subjects[name])
        row |= cycles(emulator, subjects[name], code) if code and subjects[name].kind == "kernel" else {}
        found[name] = {"instructions": row["instructions"], "work_a_cycle": row.get(_CORE)}
    return found


def as_table(rows: Sequence[Row], kernels: Sequence[str]) -> str:
    """Markdown; sizes in KiB."""
    columns = ["build", "compiler", "code", "wheel", "CPU seconds", "bits"]
    columns += [f"{name}: instructions, work a cycle ({_CORE})" for name in kernels]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        if not row.facts:
            continue
        sizes = [f"{row.facts[key] / 1024:.0f}" for key in ("text_bytes", "wheel_bytes")]
        bits = f"{row.bits} equal" if row.bits else "differ"
        cells = [str(row.recipe), str(row.facts["compiler"]), *sizes, f"{row.facts['build_cpu_seconds']:.0f}", bits]
        lines.append(f"| {' | '.join([*cells, *(_cost(row, name) for name in kernels)])} |")
    return "\n".join(lines)


def _cost(row: Row, name: str) -> str:
    found = row.kernels.get(name)
    if found is None:
        return "–"
    cycles = found["work_a_cycle"]
    return f"{found['instructions']:.4f}" + (f", {cycles:.2f}" if cycles and math.isfinite(cycles) else "")


def prepare_emulation(recipes: Sequence[Recipe]) -> None:
    """The arm64 Python with what q4engine needs, where a build is for aarch64 and this machine is none."""
    if NATIVE_ARM or not any(recipe.target == ARM for recipe in recipes):
        return
    require_qemu()
    arm64_python.HOME.mkdir(parents=True, exist_ok=True)
    arm64_python.install_root()
    arm64_python.install_wrapper()
    arm64_python.install_dependencies(requirements("test"))


def matrix(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="matrix", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("plan", type=Path, nargs="?", default=REPO / "docs" / "plans" / "toolchains.toml")
    parser.add_argument(
        "--kernels",
        default=",".join(_KERNELS),
        help='of which instructions and cycles are told, with commas between; "": of none (default: %(default)s)',
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all of it as JSON as well")
    options = parser.parse_args(arguments)
    recipes, kernels = recipes_of(options.plan), [name for name in options.kernels.split(",") if name]
    prepare_emulation(recipes)
    rows = []
    for recipe in recipes:
        rows.append(row_of(recipe, kernels))
        say(f"{recipe}: {rows[-1].outcome}")
        if options.json:  # hours of work: what is done is kept
            options.json.write_text(json.dumps([row.as_data() for row in rows], indent=1) + "\n")
    shown = kernels if any(row.kernels for row in rows) else []
    print(as_table(rows, shown))
    for row in rows:
        if row.skipped:
            print(f"skipped: {row.recipe}: {row.skipped}")
        if row.wrong:
            print(f"error: {row.recipe}: {row.wrong}", file=sys.stderr)
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    main(matrix)
