"""Builds of a plan: the matrix of compilers and flags, flags that may not be, builds that do not exist here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import matrix as matrix_command
import pytest
import variants
from cli_runs import Cli
from host import ToolError, UsageError
from models.tiny import write_tiny

from q4engine.errors import Q4Error
from q4engine.sweep import plan_tables
from q4engine.sweep.build_maker import make_builds, make_one, without
from q4engine.sweep.builds import Recipe, builds_of, refused
from q4engine.sweep.plan_file import plan_of
from q4engine.sweep.results import read_results

MATRIX: dict[str, Any] = {"source": "."}


def plan(matrix: dict[str, Any], folder: Path = Path(), **axes: Any) -> Any:
    axes = {"model": "a.gguf", "build": ["this", "matrix"], **axes}
    return plan_of({"matrix": {**MATRIX, **matrix}, "axes": axes}, "synthetic", folder)


# ---- plans -----------------------------------------------------------------------------------------------------------


def test_a_matrix_is_every_build_of_it() -> None:
    given = {"compiler": ["gcc", "zig"], "level": ["-O2", "-O3"], "lto": [False, True], "target": ["host", "aarch64"]}
    found = plan(given)
    assert len(found.builds) == 1 + 16 and "zig -O2 lto aarch64" in found.builds
    on_axis = {each.text("build") for each in found.combinations}
    assert len(on_axis) == 1 + 8 and not any("aarch64" in name for name in on_axis)
    assert plan({}, build=["gcc -O3"]).combinations[0]["build"] == "gcc -O3"


def test_constraints_of_a_matrix() -> None:
    given = {"compiler": ["gcc", "zig"], "lto": [False, True], "cpu": ["", "native"], "flags": ["", "-fno-plt -fno-x"]}
    skip = ["cpu != '' and lto", "flags == '-fno-plt -fno-x' and compiler == 'zig'"]
    found = builds_of({}, {**MATRIX, **given, "skip": skip}, Path())
    assert list(found)[1:] == [
        "gcc -O3", "gcc -O3 -fno-plt -fno-x", "gcc -O3 cpu=native", "gcc -O3 cpu=native -fno-plt -fno-x", "gcc -O3 lto",
        "gcc -O3 lto -fno-plt -fno-x", "zig -O3", "zig -O3 cpu=native", "zig -O3 lto",
    ]  # fmt: skip


def test_flags_and_cpus_stand_in_the_name() -> None:
    found = builds_of({}, {**MATRIX, "flags": ["", "-funroll-loops -fno-plt"], "cpu": "native"}, Path("/tree"))
    assert list(found)[1:] == ["gcc -O3 cpu=native", "gcc -O3 cpu=native -funroll-loops -fno-plt"]
    recipe = found["gcc -O3 cpu=native"].recipe
    assert recipe == Recipe("/tree", cpu="native") and "source" not in recipe.as_data()


@pytest.mark.parametrize(
    "flag",
    ["-Ofast", "-ffast-math", "-ffp-contract=fast", "-ffp-contract=on", "-funsafe-math-optimizations", "-mrecip=all",
     "-fassociative-math", "-ffinite-math-only", "-fno-signed-zeros", "-ffp-model=fast", "-mfpmath=387", "-mdaz-ftz",
     "-fdenormal-fp-math=preserve-sign", "-mlow-precision-sqrt", "-freciprocal-math"],
)  # fmt: skip
def test_flags_that_would_break_the_contract_are_refused(flag: str) -> None:
    assert "a build's bits must hold" in refused(flag)
    with pytest.raises(Q4Error, match=r"\[matrix\]: flags: '-"):
        plan({"flags": f"-funroll-loops {flag}"})
    with pytest.raises(UsageError):
        variants.make(Recipe(".", flags=(flag,)))


@pytest.mark.parametrize("flag", ["-ffp-contract=off", "-funroll-loops", "-mtune=native", "--param=max-unroll-times=4"])
def test_flags_that_may_be(flag: str) -> None:
    assert refused(flag) == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": ""}, "matrix.source: found '', expected a text"),
        ({"compilers": ["gcc"]}, "[matrix]: there is no 'compilers'"),
        ({"compiler": ["tcc"]}, "[matrix]: compiler: found 'tcc', expected gcc, clang-19, zig"),
        ({"compiler": []}, "[matrix]: compiler is empty"),
        ({"level": "-Ofast"}, "[matrix]: level: found '-Ofast', expected -O0"),
        ({"lto": "yes"}, "[matrix]: lto: found 'yes', expected false, true or both"),
        ({"cpu": "a b"}, "[matrix]: cpu: found 'a b'"),
        ({"flags": "-march=native"}, "is no flag of an optimiser"),
        ({"flags": "-include x.h"}, "is no flag of an optimiser"),
        ({"skip": 3}, "[matrix]: skip: found '3', expected constraints"),
        ({"skip": "threads > 1"}, "[matrix]: skip: 'threads > 1' is no constraint: there is no axis threads"),
        ({"skip": "level < 3"}, "[matrix]: skip: 'level < 3' cannot be evaluated"),
        ({"skip": "lto or not lto"}, "[matrix]: has no builds: every combination is skipped"),
        ({"flags": [f"-fno-{n}" for n in range(1001)]}, "[matrix]: has 1001 builds, expected at most 1000"),
        ({"target": "riscv"}, "[matrix]: target: found 'riscv', expected host, aarch64"),
    ],
)
def test_what_is_wrong_with_a_matrix_is_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(Q4Error) as error:
        plan(given)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_tables_are_checked_first() -> None:
    for given in ([], {"environment": {"=": "x"}}, {"environment": []}):
        with pytest.raises(Q4Error, match="a"):
            plan_tables.variables_of(plan_tables.of_table(given, "a"), "a")
    assert plan_tables.variables_of({"environment": {"b": "1", "a": "2"}}, "a") == (("a", "2"), ("b", "1"))


# ---- making ----------------------------------------------------------------------------------------------------------


def with_script(folder: Path, answer: str) -> Path:
    """A source tree whose variants.py is a stand-in that answers this."""
    (folder / "toolchains").mkdir()
    (folder / "toolchains" / "variants.py").write_text(answer)
    return folder


STAND_IN = f"""
import json, sys
recipe = json.loads(sys.argv[1])
answers = {{"-O0": {{"skipped": "no -O0 here"}}, "-O1": {{"failed": "synthetic"}}}}
print("said on the way")
print(json.dumps(answers.get(recipe["level"], {{"python": {sys.executable!r}, "facts": {{"text_bytes": 5}}}})))
"""


def test_builds_are_made_skipped_or_fail(tmp_path: Path, q4: Cli) -> None:
    write_tiny(tmp_path / "a.gguf")
    with_script(tmp_path, STAND_IN)
    (tmp_path / "plan.toml").write_text(
        '[matrix]\nsource = "."\nlevel = ["-O0", "-O1", "-O2"]\n[axes]\nmodel = "a.gguf"\nbuild = "matrix"\n'
        "prompt = 4\ngenerate = 0\nthreads = 1\n"
    )
    (tmp_path / "plan.toml").write_text("repetitions = 2\n" + (tmp_path / "plan.toml").read_text())
    done = q4("sweep", tmp_path / "plan.toml")
    assert "skipped: build gcc -O0: no -O0 here" in done.err
    assert "error: build gcc -O1: synthetic; what needs it is not run" in done.err
    assert done.code == 1 and "2 not made" in done.err
    runs = read_results(tmp_path / "plan.sqlite")
    assert [run.engine["build"] for run in runs] == 2 * [{"text_bytes": 5}]


def test_a_plan_of_builds_that_do_not_exist(tmp_path: Path) -> None:
    found = plan({"level": "-O0"}, with_script(tmp_path, STAND_IN), build="matrix")
    made = make_builds(found, lambda _: None)
    assert made.skipped == {"gcc -O0": "no -O0 here"}
    with pytest.raises(Q4Error, match="no build of the plan exists here"):
        without(found, made)


def test_a_source_tree_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Q4Error, match=r"found no toolchains/variants\.py in it"):
        make_one(Recipe(str(tmp_path)))
    with_script(tmp_path, "import sys\nsys.exit('synthetic')")
    assert make_one(Recipe(str(tmp_path))) == {"failed": "'synthetic'"}


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (Recipe(".", "gcc-99"), "gcc-99 is not here"),
        (Recipe(".", "clang-99"), "clang-99 is not here"),
        (Recipe(".", "zig-99"), "call it zig"),
        (Recipe(".", "gcc-99", target="aarch64"), "aarch64-linux-gnu-gcc-99 is not here"),
    ],
)
def test_compilers_that_are_not_here(recipe: Recipe, reason: str) -> None:
    with pytest.raises(variants.Absent, match=reason):
        variants.compiler_of(recipe)
    assert reason in matrix_command.row_of(recipe, []).skipped


def test_a_cpu_is_spelled_as_the_compiler_does() -> None:
    spelled = {name: variants.settings_of(Recipe(".", name, cpu="neoverse-n1")) for name in ("gcc", "clang-19", "zig")}
    assert [found["cmake.define.Q4_CPU"] for found in spelled.values()] == ["neoverse-n1", "neoverse-n1", "neoverse_n1"]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")
def test_a_cpu_or_flag_that_a_compiler_does_not_know() -> None:
    for recipe in (Recipe(".", cpu="no-such-cpu"), Recipe(".", flags=("-fno-such-flag",))):
        with pytest.raises(variants.Absent, match=r"does not take -O3 .*no-such"):
            variants.compiler_of(recipe)
    assert variants.compiler_of(Recipe(".", flags=("-funroll-loops",))).name.startswith("gcc ")


def test_flags_reach_the_compiler_and_contraction_stays_off(tmp_path: Path, repo_root: Path) -> None:
    """Whatever CMake is told by hand."""
    given = ["-DQ4_OPTIMISE=-O2", "-DQ4_FLAGS=-funroll-loops;-ffast-math;-ffp-contract=fast", "-DQ4_LTO=ON"]
    command = ["cmake", "-S", repo_root / "native", "-B", tmp_path, *given]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    commands = [each["command"].split() for each in json.loads((tmp_path / "compile_commands.json").read_text())]
    assert commands
    for words in commands:
        assert "-O2" in words and "-O3" not in words and "-funroll-loops" in words and "-flto" in words
        last = {name: max(n for n, word in enumerate(words) if word == name) for name in words}
        assert last["-fno-fast-math"] > last["-ffast-math"] and last["-ffp-contract=off"] > last["-ffp-contract=fast"]


def test_the_matrix_names_what_is_missing(tmp_path: Path, repo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(f'[matrix]\nsource = "{repo_root}"\ncompiler = ["gcc-99"]\nlevel = ["-O2", "-O3"]\n')
    assert matrix_command.matrix([str(path), "--json", str(tmp_path / "rows.json")]) == 0
    out = capsys.readouterr().out
    assert [row["skipped"] for row in json.loads((tmp_path / "rows.json").read_text())] == 2 * ["gcc-99 is not here"]
    assert "skipped: gcc-99 -O2: gcc-99 is not here" in out and "skipped: gcc-99 -O3" in out
    for text, message in (
        ("", r"has no \[matrix\]"),
        ("[matrix", "toml"),
        (f'[matrix]\nsource = "{tmp_path}"\n', "own"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            matrix_command.recipes_of(path)


def test_a_table_of_builds() -> None:
    facts = {"compiler": "synthetic 1", "text_bytes": 2048, "wheel_bytes": 4096, "build_cpu_seconds": 3.0}
    cost = {"a": {"instructions": 0.5, "work_a_cycle": 2.0}}
    rows = [
        matrix_command.Row(Recipe("."), facts, 7, cost),
        matrix_command.Row(Recipe(".", level="-O2"), facts, wrong="bits: synthetic"),
        matrix_command.Row(Recipe(".", "zig"), skipped="synthetic"),
    ]
    lines = matrix_command.as_table(rows, ["a"]).splitlines()
    assert lines[2:] == [
        "| gcc -O3 | synthetic 1 | 2 | 4 | 3 | 7 equal | 0.5000, 2.00 |",
        "| gcc -O2 | synthetic 1 | 2 | 4 | 3 | differ | – |",
    ]
    assert rows[2].as_data() == {"build": "zig -O3", "skipped": "synthetic"}


def test_the_size_of_code(tmp_path: Path) -> None:
    from q4engine import _native

    module = Path(str(_native.__file__))
    assert 100_000 < variants.text_bytes(module) < module.stat().st_size


@pytest.mark.long
def test_a_build_of_the_matrix_holds_its_bits(tmp_path: Path) -> None:
    """At the lowest level, which is made soonest."""
    try:
        made = variants.make(Recipe(".", level="-O1"))
    except variants.Absent as error:
        pytest.skip(str(error))
    assert matrix_command.held_bits(made) >= len(json.loads(bits_file().read_text()))
    said = subprocess.run(
        [made.python, "-P", "-c", "import q4engine; print(q4engine.__file__)"], capture_output=True, text=True
    )
    assert said.stdout.startswith(str(made.folder))


def bits_file() -> Path:
    return Path(__file__).parents[1] / "golden" / "fingerprints.json"


def test_bits_that_differ_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "check.py").write_text("import sys\nsys.exit('llama with features all: synthetic')")
    monkeypatch.setattr(matrix_command, "_BITS", tmp_path / "check.py")
    made = variants.Made(Recipe("."), tmp_path, tmp_path, tmp_path, Path(sys.executable), {})
    with pytest.raises(ToolError, match="bits: llama with features all: synthetic"):
        matrix_command.held_bits(made)
