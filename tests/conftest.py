"""Fixtures for all tests. Those under tests/arm also run inside an emulated aarch64 Python, with this same file."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from host import prefer_own_tools

# Reports are as wide as they are in files, wherever the tests are started; processes of pytest-xdist have 80 columns.
os.environ.pop("COLUMNS", None)
# What a shell starts in the background ignores Ctrl-C, and so would the commands whose end by it is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPO = Path(__file__).resolve().parent.parent
SMOLLM2 = REPO / ".models" / "smollm2-135m-instruct-q4_0.gguf"
ON_ARM = platform.machine() in ("aarch64", "arm64")

ArmRunner = Callable[..., subprocess.CompletedProcess[str]]


def pytest_configure(config: pytest.Config) -> None:
    """Tools of `make setup` first, and Hypothesis without its time limit per example: a busy machine is no failure.
    The emulated Python has no Hypothesis."""
    prefer_own_tools()
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import settings

        settings.register_profile("q4engine", deadline=None)
        settings.load_profile("q4engine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of tests with more than Q4_MOST_CASES cases so many are run, spread over them, the first and the last among them:
    on builds where each takes ten times as long."""
    most = int(os.environ.get("Q4_MOST_CASES", "0"))
    if most < 2:
        return
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = {id(of[at * (len(of) - 1) // (most - 1)]) for of in cases.values() for at in range(most)}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
    items[:] = [item for item in items if id(item) in kept]


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return REPO


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recorded real data that is no part of the repository: perf output, vocabularies, token vectors, checkpoints."""
    path = REPO.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the recorded data (../shared/data) is not on this machine")
    return path


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """SmolLM2-135M-Instruct as Q4_0."""
    if not SMOLLM2.is_file():
        pytest.skip(f"{SMOLLM2.relative_to(REPO)} is absent; `make test` gets it")
    return SMOLLM2


def skip_or_fail_without_arm(reason: str) -> None:
    """Where the Arm tests are mandatory, a missing part of them is a failure."""
    if os.environ.get("Q4_REQUIRE_ARM"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cross_wheel() -> Path:
    """The newest aarch64 wheel in dist/."""
    wheels = sorted((REPO / "dist").glob("q4engine-*aarch64.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        skip_or_fail_without_arm("there is no aarch64 wheel in dist/; `make cross` builds it")
    return wheels[-1]


@pytest.fixture(scope="session")
def arm_runner() -> ArmRunner:
    """Runs ``python ARGS`` on aarch64: ``arm_runner("-m", "q4engine", "inspect", path, cpu="neoverse-n1")``.

    `cpu` is qemu's name of a core and is ignored on an Arm machine; text output is captured, stdin is empty.
    """
    python = sys.executable if ON_ARM else str(REPO / "build" / "arm64" / "python")
    if not Path(python).exists():
        skip_or_fail_without_arm("the arm64 Python is not set up; `make test-arm` does it")

    def run(*arguments: str | os.PathLike[str], cpu: str = "max,sve=off") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *(os.fspath(argument) for argument in arguments)],
            env={**os.environ, "QEMU_CPU": cpu},
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    return run
