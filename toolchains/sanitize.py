"""Runs the C test program and the unit tests on a build with AddressSanitizer and UndefinedBehaviorSanitizer, and the C
test program once more on one with ThreadSanitizer.

``python toolchains/sanitize.py [OPTIONS OF PYTEST]``. The sanitized module lives in build/sanitize/site and is used by
the base interpreter of the virtual environment, with the environment's packages (and not its own) behind it; .venv
keeps its own build.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from checks import Check, Result, summary
from host import BUILD, REPO, ToolError, cmake_build, find_program, main, pip, run, say

SANITIZERS = "address,undefined"
FOLDER = BUILD / "sanitize"
OPTIONS = {"UBSAN_OPTIONS": "print_stacktrace=1", "ASAN_OPTIONS": "detect_leaks=1"}
# A case takes ten times its time under ThreadSanitizer, and its races show in the first ones.
CASES_OF_THREADS = 30


def preloaded_libraries(compiler: str) -> str:
    """The runtime that an unsanitized interpreter must load first; libstdc++ with it, whose exceptions ASan wraps."""
    paths = [run([compiler, f"-print-file-name={name}"]).strip() for name in ("libasan.so", "libstdc++.so.6")]
    missing = [path for path in paths if not Path(path).is_absolute()]
    if missing:
        raise ToolError(f"{compiler} has no {' '.join(missing)}; sanitizer runs need gcc")
    return " ".join(paths)


def gcc() -> str:
    """The compiler, whose sanitizers these are."""
    compiler = find_program(os.environ.get("CC", "gcc"))
    if compiler is None:
        raise ToolError("gcc is missing; sanitizer runs need it")
    return compiler


def check_memory() -> Result:
    """The C test program under AddressSanitizer and UndefinedBehaviorSanitizer."""
    gcc()
    say(f"building with -fsanitize={SANITIZERS}")
    folder = FOLDER / "memory"
    cmake_build(folder, "q4_kernel_test", [f"-DQ4_SANITIZE={SANITIZERS}"])
    return Check("C kernel tests, memory sanitized", [folder / "q4_kernel_test"], env=OPTIONS).run()


def check_threads() -> Result:
    """The C test program under ThreadSanitizer, which shares no build with AddressSanitizer. A report ends it."""
    gcc()
    say("building with -fsanitize=thread")
    folder = FOLDER / "thread"
    cmake_build(folder, "q4_kernel_test", ["-DQ4_SANITIZE=thread"])
    command: list[str | Path] = [folder / "q4_kernel_test", "--cases", str(CASES_OF_THREADS)]
    # The runtime of gcc before 14 expects addresses with no more than 28 random bits; newer kernels have 32.
    bits = Path("/proc/sys/vm/mmap_rnd_bits")
    if bits.exists() and int(bits.read_text()) > 28 and (setarch := find_program("setarch")):
        command = [setarch, "-R", *command]
    return Check("C kernel tests, threads sanitized", command, env={"TSAN_OPTIONS": "halt_on_error=1"}).run()


def check_python(arguments: Sequence[str]) -> Result:
    """The unit tests on the sanitized module."""
    compiler = gcc()
    say("building the module")
    build = (f"cmake.define.Q4_SANITIZE={SANITIZERS}", f"build-dir={FOLDER / 'build'}")
    settings = [f"--config-settings={option}" for option in build]
    site = FOLDER / "site"
    pip("install", "-q", "--upgrade", "--target", site, "--no-deps", "--no-build-isolation", *settings, REPO)
    base = getattr(sys, "_base_executable", sys.executable)
    env = OPTIONS | {
        "LD_PRELOAD": preloaded_libraries(compiler),
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter frees little at exit
        "PYTHONPATH": f"{site}:{sysconfig.get_paths()['purelib']}",
        "PYTHONMALLOC": "malloc",
        "PYTHONSAFEPATH": "1",  # processes that tests start must not find the sources, which lack the module
    }
    where = subprocess.run(
        [base, "-PS", "-c", "import q4engine._native as native; print(native.__file__)"],
        env={**os.environ, **env},
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    if str(site) not in where.stdout:
        raise ToolError(f"the sanitized module does not load: {(where.stderr or where.stdout).strip()}")
    # analysis and annotate never enter the native core
    elsewhere = ["--ignore=tests/unit/analysis", "--ignore-glob=tests/unit/test_annotate*"]
    command = [base, "-PS", "-m", "pytest", "-p", "no:cacheprovider", *elsewhere, "tests/unit", *arguments]
    return Check("pytest tests/unit, sanitized", command, env=env).run()


def sanitize() -> int:
    results = (check_memory(), check_threads(), check_python(sys.argv[1:]))
    print(summary(results))
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    main(sanitize)
