"""Runs the project's checks: ``python toolchains/run_tests.py [lint] [kernels] [python] [arm]``, or all of them.

lint: ruff, mypy, clang-format. kernels: the C test program on this machine. python: pytest. arm: the C test program and
tests/arm on every emulated CPU (on an Arm host: natively), and tests/emulated, which start emulated runs and look at
them from here. All parts run even where one fails; the last line, also left in build/test-summary.txt, counts the tests
of all parts.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import arm64_python
from arm import CPUS, environment, python_command, set_up
from cross import ALL_KERNELS, CrossBuild, build_kernel_test, build_wheel, default_toolchain
from host import BUILD, NATIVE_ARM, REPO, ToolError, main, run, say
from qemu import require_qemu

PARTS = ("lint", "kernels", "python", "arm")
_COUNT = re.compile(r"(\d+) (passed|failed|error|skipped|xfailed)")
# Plugins that only slow the emulated interpreter down.
_GUEST_PYTEST = ("-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib --strict-markers -ra -q")


@dataclass
class Result:
    """What one command reported."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        verdict = "FAILED" if self.failed else "ok"
        return f"{verdict:7}{self.name}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass
class Check:
    """A command; `counts` says that the last line it prints counts tests, as pytest's and q4_kernel_test's do."""

    name: str
    command: Sequence[str | Path]
    counts: bool = True
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, show: bool = True) -> Result:
        """Runs it and prints its output: while it runs, or (not `show`) all at once at the end."""
        lines = [f"\n==== {self.name}"]
        if show:
            print(lines[0], flush=True)
        # With it, output that is lost or late in a buffer would go unnoticed here and not on other machines.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        process = subprocess.Popen(
            [os.fspath(word) for word in self.command],
            cwd=REPO,
            env={**inherited, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if show:
                print(lines[-1], flush=True)
        status = process.wait()
        if not show:
            print("\n".join(lines), flush=True)
        return self.judge(status, lines)

    def judge(self, status: int, lines: Sequence[str]) -> Result:
        result = Result(self.name)
        if self.counts:
            last = next((line for line in reversed(lines) if _COUNT.search(line)), "")
            for number, word in _COUNT.findall(last):
                if word == "passed":
                    result.passed += int(number)
                elif word in ("failed", "error"):
                    result.failed += int(number)
                else:
                    result.skipped += int(number)
            if status == 0 and result.passed == 0:
                print(f"{self.name}: no test ran", flush=True)
                result.failed = 1
        if status != 0 and result.failed == 0:
            print(f"{self.name}: exit code {status}", flush=True)
            result.failed = 1
        return result


def lint_checks() -> list[Check]:
    folders = (REPO / "native", REPO / "toolchains")
    sources = sorted(path for folder in folders for kind in ("*.c", "*.h") for path in folder.rglob(kind))
    return [
        Check("ruff", ["ruff", "check", "--quiet", "."], counts=False),
        Check("mypy", ["mypy"], counts=False),
        Check("clang-format", ["clang-format", "--dry-run", "-Werror", "--ferror-limit=1", *sources], counts=False),
    ]


def run_lint() -> list[Result]:
    return [check.run() for check in lint_checks()]


def run_kernels() -> list[Result]:
    run(["cmake", "--build", BUILD / "native", "--target", "q4_kernel_test"])
    return [Check("C kernel tests", [BUILD / "native" / "q4_kernel_test"]).run()]


def run_python() -> list[Result]:
    return [Check("pytest", [sys.executable, "-m", "pytest"]).run()]


def guest_checks(build: CrossBuild) -> list[Check]:
    """Per CPU: the C test program and one pytest session inside the emulated Python."""
    kernel_test = build_kernel_test(build)
    checks = []
    for cpu in CPUS:
        env = {**environment(cpu), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "Q4_REQUIRE_ARM": "1"}
        emulate: list[str | Path] = [require_qemu(), "-L", arm64_python.ROOT, kernel_test]
        pytest = [*python_command(), "-m", "pytest", *_GUEST_PYTEST, "tests/arm"]
        checks += [
            Check(f"C kernel tests on {cpu}", emulate, env=env),
            Check(f"pytest on {cpu}", pytest, env=env),
        ]
    return checks


def run_arm() -> list[Result]:
    if NATIVE_ARM:
        return [Check("pytest tests/arm", [sys.executable, "-m", "pytest", "tests/arm", "tests/emulated"]).run()]
    build = CrossBuild(default_toolchain(), ALL_KERNELS)
    set_up(build)
    host_check = Check("pytest tests/emulated", [sys.executable, "-m", "pytest", "tests/emulated"])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda check: check.run(show=False), [host_check, *guest_checks(build)]))


RUN = {"lint": run_lint, "kernels": run_kernels, "python": run_python, "arm": run_arm}


def run_parts(parts: Iterable[str]) -> list[Result]:
    results: list[Result] = []
    for part in parts:
        try:
            results += RUN[part]()
        except ToolError as error:
            print(f"error: {error}", flush=True)
            results.append(Result(f"{part}: {error}", failed=1))
    return results


def summary(results: Iterable[Result]) -> str:
    """The closing line: the tests of all checks."""
    results = list(results)
    return f"{sum(result.passed for result in results)} passed, {sum(result.failed for result in results)} failed"


def run_tests() -> int:
    parts = sys.argv[1:] or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        print(f"error: unknown part {unknown[0]}; known are: {' '.join(PARTS)}", file=sys.stderr)
        return 2
    if {"python", "arm"} <= set(parts):
        try:  # tests/build looks at this wheel and runs programs under the emulator
            build_wheel(CrossBuild(default_toolchain(), ALL_KERNELS))
            require_qemu(plugins=True)
        except ToolError as error:
            say(str(error))  # and the arm part will fail
    results = run_parts(parts)
    print("\n==== summary")
    print(*results, sep="\n")
    last = summary(results)
    (BUILD / "test-summary.txt").write_text(last + "\n")
    print(last, flush=True)
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    main(run_tests)
