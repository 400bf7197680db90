"""Runs the project's checks: ``python toolchains/run_tests.py [PART ...]``, without PARTs those of `make test`.

lint: ruff, mypy, clang-format. kernels: the C test program on this machine. python: pytest. arm: the C test program and
tests/arm on every emulated CPU (on an Arm host: natively), and tests/emulated, which start emulated runs and look at
them from here.

Slower ones, of `make test-long`: long: what pytest has marked so, more kills, more texts by grammars. sanitizers: the C
test program under AddressSanitizer and UndefinedBehaviorSanitizer, and under ThreadSanitizer.

All parts run even where one fails; the last line counts the tests of all parts, and is left in build/test-summary.txt
or build/test-long-summary.txt, for .ci/run to add up.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import arm64_python
import sanitize
from arm import CPUS, environment, python_command, set_up
from checks import Check, Result, summary
from cross import ALL_KERNELS, CrossBuild, build_kernel_test, build_wheel, default_toolchain
from host import BUILD, NATIVE_ARM, REPO, ToolError, main, run, say
from qemu import require_qemu

KILLS = "40"  # of each command that writes
GRAMMAR_SEEDS = "100"  # of each grammar
# Plugins that only slow the emulated interpreter down.
_GUEST_PYTEST = ("-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib --strict-markers -ra -q")


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


def check_pytest(name: str, *words: str, env: Mapping[str, str] | None = None) -> Result:
    """Tests on this machine: by as many processes as there are CPUs, neighbours by one while there are enough."""
    processes = ("-n", str(min(os.cpu_count() or 1, 4)), "--dist", "worksteal")
    return Check(name, [sys.executable, "-m", "pytest", *processes, "--durations=20", *words], env=env or {}).run()


def run_python() -> list[Result]:
    return [check_pytest("pytest", "-m", "not long")]


def run_long() -> list[Result]:
    texts = ("tests/unit/test_grammar.py", "-k", "what_is_generated")
    return [
        check_pytest("pytest, long tests", "-m", "long"),
        check_pytest("pytest, many kills", "tests/integration/test_kills.py", env={"Q4_KILLS": KILLS}),
        check_pytest("pytest, many texts by grammars", *texts, env={"Q4_GRAMMAR_SEEDS": GRAMMAR_SEEDS}),
    ]


def run_sanitizers() -> list[Result]:
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        return list(
            pool.map(lambda build: sanitize.check_kernels(build, show=False), (sanitize.THREAD, sanitize.MEMORY))
        )


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


PARTS = {"lint": run_lint, "kernels": run_kernels, "python": run_python, "arm": run_arm}
LONG_PARTS = {"long": run_long, "sanitizers": run_sanitizers}


def run_parts(parts: Iterable[str]) -> list[Result]:
    results: list[Result] = []
    for part in parts:
        try:
            results += (PARTS | LONG_PARTS)[part]()
        except ToolError as error:
            print(f"error: {error}", flush=True)
            results.append(Result(f"{part}: {error}", failed=1))
    return results


def run_tests() -> int:
    parts = sys.argv[1:] or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS | LONG_PARTS]:
        print(f"error: unknown part {unknown[0]}; known are: {' '.join(PARTS | LONG_PARTS)}", file=sys.stderr)
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
    name = "test-long" if set(parts) <= LONG_PARTS.keys() else "test"
    (BUILD / f"{name}-summary.txt").write_text(last + "\n")
    print(last, flush=True)
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    main(run_tests)
