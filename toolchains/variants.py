"""One build of a matrix, in a folder of its own: ``python toolchains/variants.py '{"compiler": "clang"}'``.

The keys are those of q4engine.sweep.builds.Recipe. The last line printed is JSON: the build's interpreter and what is
known of it, or "skipped" or "failed" with the reason. A build stays below build/variants/ and is made once, until
native/ changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import shlex
import shutil
import struct
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import system_tools
import wheels
from cross import ALL_KERNELS, PLATFORMS, prepare
from host import BUILD, NATIVE_ARM, REPO, ToolError, UsageError, find_program, main

from q4engine.sweep.builds import ARM, HOST, Recipe, refused

FOLDER = BUILD / "variants"


class Absent(ToolError):
    """This build does not exist here: what is missing."""


@dataclass(frozen=True)
class Compiler:
    """``command``: how it is started. ``environment``: what CMake and it read. ``name``: with its version."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    name: str


@dataclass(frozen=True)
class Made:
    """A build that is there. ``facts``: of its making and its sizes, as data for JSON."""

    recipe: Recipe
    folder: Path
    wheel: Path
    site: Path
    python: Path | None
    facts: Mapping[str, Any]


def family(recipe: Recipe) -> str:
    """gnu, clang or zig, as toolchain files are called."""
    name = recipe.compiler.partition("-")[0]
    return {"gcc": "gnu"}.get(name, name)


def cpu_of(recipe: Recipe) -> str:
    """As the compiler spells it: zig neoverse_n1, the others neoverse-n1."""
    return recipe.cpu.replace("-", "_") if family(recipe) == "zig" else recipe.cpu


def folder_of(recipe: Recipe) -> Path:
    """Named by what it holds; what names cannot hold is told apart by a hash."""
    text = str(recipe)
    plain = re.sub(r"[^\w.=]+", "-", text).strip("-")
    return FOLDER / f"{plain[:60]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def compiler_of(recipe: Recipe) -> Compiler:
    """The compiler of this recipe, if it is here and knows the flags. Absent says what is missing."""
    if recipe.target == ARM and recipe.cpu == "native" and not NATIVE_ARM:
        raise Absent("cpu=native is this machine, which is no aarch64")
    kind = family(recipe)
    if kind == "zig":
        command, environment = _zig(recipe)
    else:
        command, environment = _gcc_or_clang(recipe, kind)
    command += tuple(_target_words(recipe, kind))
    version = _said(command[: 1 if kind != "zig" else 2], environment, "--version").splitlines()
    numbers = re.search(r"\d+\.\d+(\.\d+)?", version[0] if version else "")
    name = f"{recipe.compiler.partition('-')[0]} {numbers[0] if numbers else '?'}"
    if kind == "zig":
        name = f"zig {_zig_version()} ({name.replace('zig', 'clang')})"
    _try_flags(recipe, Compiler(command, environment, name))
    return Compiler(command, environment, name)


def _zig(recipe: Recipe) -> tuple[tuple[str, ...], dict[str, str]]:
    if recipe.compiler != "zig":
        raise Absent(f"{recipe.compiler}: zig comes from PyPI, in the version of pyproject.toml: call it zig")
    try:
        environment = prepare("zig")
    except ToolError as error:
        raise Absent(f"zig is not here: {error}") from None
    command = environment["Q4_ZIG"], "cc"
    return command, environment if recipe.target == ARM else {**environment, "CC": " ".join(command)}


def _zig_version() -> str:
    with contextlib.suppress(ToolError):
        return _said((prepare("zig")["Q4_ZIG"],), {}, "version").strip()
    return "?"


def _gcc_or_clang(recipe: Recipe, kind: str) -> tuple[tuple[str, ...], dict[str, str]]:
    cross = recipe.target == ARM and kind == "gnu"
    program = f"aarch64-linux-gnu-{recipe.compiler}" if cross else recipe.compiler
    if program == system_tools.CLANG.name:
        system_tools.bring(system_tools.CLANG)
    path = find_program(program)
    if path is None:
        raise Absent(f"{program} is not here")
    if kind == "clang" and (recipe.lto or recipe.target == ARM) and not _links_with_lld(path):
        raise Absent(f"{program} links this with ld.lld, which is not here (Debian's package: lld, as clang's version)")
    if kind == "clang" and recipe.target == ARM and not NATIVE_ARM and not find_program("aarch64-linux-gnu-gcc"):
        raise Absent("the C library for aarch64 is not here (Debian's package: gcc-aarch64-linux-gnu)")
    return (path,), {"Q4_CC": path} if recipe.target == ARM else {"CC": path}


def _links_with_lld(clang: str) -> bool:
    """Whether it finds ld.lld, on the PATH or among its own programs."""
    return find_program("ld.lld") is not None or Path(_said((clang,), {}, "-print-prog-name=ld.lld").strip()).is_file()


def _target_words(recipe: Recipe, kind: str) -> list[str]:
    if recipe.target != ARM or kind == "gnu":
        return []
    return ["-target", "aarch64-linux-gnu.2.28"] if kind == "zig" else ["--target=aarch64-linux-gnu"]


def _said(command: tuple[str, ...], environment: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        [*command, *words], env={**os.environ, **environment}, capture_output=True, text=True, errors="replace"
    )
    return done.stdout


def _try_flags(recipe: Recipe, compiler: Compiler) -> None:
    """Absent where this compiler does not know a flag or CPU."""
    flags = [recipe.level, *recipe.flags, *(["-flto"] if recipe.lto else [])]
    if recipe.cpu:
        on_arm = recipe.target == ARM or NATIVE_ARM
        flags.append(f"{'-mcpu' if on_arm or family(recipe) == 'zig' else '-march'}={cpu_of(recipe)}")
    command = [*compiler.command, *flags, "-Werror", "-x", "c", "-c", os.devnull, "-o", os.devnull]
    done = subprocess.run(
        command, env={**os.environ, **compiler.environment}, capture_output=True, text=True, errors="replace"
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise Absent(f"{compiler.name} does not take {' '.join(flags)}: {(lines or ['?'])[0].strip()[:200]}")


def settings_of(recipe: Recipe) -> dict[str, object]:
    """What CMake and the wheel are told."""
    settings: dict[str, object] = {
        "cmake.define.Q4_OPTIMISE": recipe.level,
        "cmake.define.Q4_LTO": "ON" if recipe.lto else "OFF",
        "cmake.define.Q4_CPU": cpu_of(recipe),
        "cmake.define.Q4_FLAGS": ";".join(recipe.flags),
    }
    if recipe.target == HOST:
        return settings
    kind = family(recipe)
    settings |= {
        "cmake.toolchain-file": REPO / "toolchains" / f"aarch64-{kind}.cmake",
        "cmake.define.Q4_ARCH": ALL_KERNELS,
        "wheel.tags": f"cp311-abi3-{PLATFORMS[kind]}",
    }
    if kind != "zig":  # so that kernel_cost finds the program's addresses in its file; zig links no glibc statically
        linker = "-fuse-ld=lld " if kind == "clang" else ""
        settings["cmake.define.CMAKE_EXE_LINKER_FLAGS"] = f"{linker}-static -no-pie"
    return settings


def make(recipe: Recipe) -> Made:
    """The build, made where it is not there or native/ has changed. Absent, or ToolError where it fails."""
    if recipe.target not in (HOST, ARM):
        raise UsageError(f"there is no target {recipe.target}")
    if why := next(filter(None, map(refused, recipe.flags)), ""):
        raise UsageError(why)
    compiler, folder = compiler_of(recipe), folder_of(recipe)
    known = folder / "variant.json"
    newest = max(path.stat().st_mtime for path in (REPO / "native").rglob("*"))
    facts: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {}
    if "build_cpu_seconds" not in facts or known.stat().st_mtime < newest or facts["compiler"] != compiler.name:
        shutil.rmtree(folder, ignore_errors=True)
        facts = {}
    folder.mkdir(parents=True, exist_ok=True)
    wheel, seconds = _timed(recipe, compiler, folder)
    if facts:
        seconds = {name: facts[name] for name in seconds}
    python, site = _installed(recipe, wheel, folder)
    module = site / "q4engine" / "_native.abi3.so"
    facts = {
        "build": str(recipe), "compiler": compiler.name, **seconds, "text_bytes": text_bytes(module),
        "library_bytes": module.stat().st_size, "wheel_bytes": wheel.stat().st_size,
    }  # fmt: skip
    known.write_text(json.dumps(facts))
    return Made(recipe, folder, wheel, site, python, facts)


def _timed(recipe: Recipe, compiler: Compiler, folder: Path) -> tuple[Path, dict[str, float]]:
    """The wheel, and what making it took: seconds, and those of CPU time, which other load changes little."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    wheel = wheels.make(f"{recipe}", folder, settings_of(recipe), compiler.environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wheel, {"build_seconds": round(time.monotonic() - begin, 1), "build_cpu_seconds": round(used, 1)}


def _installed(recipe: Recipe, wheel: Path, folder: Path) -> tuple[Path | None, Path]:
    """An interpreter that has this build and what it needs, and where the build lies. None where it runs elsewhere."""
    if recipe.target == ARM and not NATIVE_ARM:
        site = folder / "site"
        _unpack(wheel, site)
        return None, site
    home = folder / "venv"
    if not (home / "bin" / "python").exists():
        venv.EnvBuilder(with_pip=False, symlinks=True).create(home)
    site = next(home.glob("lib/python3*/site-packages"))
    _unpack(wheel, site)
    # This environment's packages, but not its own q4engine: .pth files of a folder named like this are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return home / "bin" / "python", site


def _unpack(wheel: Path, site: Path) -> None:
    stamp = site / ".wheel"
    if stamp.exists() and stamp.stat().st_mtime >= wheel.stat().st_mtime:
        return
    for package in ("q4engine", "analysis", "annotate"):
        shutil.rmtree(site / package, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    stamp.touch()


def text_bytes(library: Path) -> int:
    """Size of .text, of a 64-bit little-endian ELF file (System V ABI, chapter 4)."""
    data = library.read_bytes()
    offset = struct.unpack_from("<Q", data, 0x28)[0]
    size, count, names_at = struct.unpack_from("<HHH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", data, offset + number * size) for number in range(count)]
    names = sections[names_at][4]
    for name, _, _, _, _, length in sections:
        if data[names + name : names + name + 6] == b".text\0":
            return int(length)
    raise ToolError(f"{library}: has no .text")


def variant() -> int:
    if len(sys.argv) != 2:
        raise UsageError("expected one JSON object: a recipe")
    try:
        given = json.loads(sys.argv[1])
        recipe = Recipe(str(REPO), **{**given, "flags": tuple(given.get("flags", ()))})
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{shlex.quote(sys.argv[1][:100])} is no recipe: {error}") from None
    try:
        made = make(recipe)
        answer = {"python": str(made.python or ""), "site": str(made.site), "facts": made.facts}
    except Absent as error:
        answer = {"skipped": str(error)}
    except ToolError as error:
        answer = {"failed": str(error)}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    main(variant)
