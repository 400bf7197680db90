"""The aarch64 wheel as `make test-arm` installed it, in a folder that knows nothing of this one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from host import NATIVE_ARM
from models.tiny import write_tiny

Command = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.skipif(NATIVE_ARM, reason="test_first_minutes.py installs this machine's wheel")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("else where")


@pytest.fixture(scope="module")
def q4engine(arm_runner: object, repo_root: Path, elsewhere: Path) -> Command:
    """Starts the installed command, as its console script does."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        code = "import sys; from q4engine.__main__ import main; sys.argv[0] = 'q4engine'; sys.exit(main())"
        command = [str(repo_root / "build" / "arm64" / "python"), "-c", code, *map(str, words)]
        return subprocess.run(
            command, cwd=elsewhere, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=dict(os.environ)
        )

    return run


def test_what_is_in_it(cross_wheel: Path, repo_root: Path) -> None:
    with zipfile.ZipFile(cross_wheel) as wheel:
        names = set(wheel.namelist())
        told = next(wheel.read(name).decode() for name in names if name.endswith(".dist-info/entry_points.txt"))
    sources = {
        str(path.relative_to(repo_root))
        for package in ("q4engine", "annotate", "analysis")
        for path in (repo_root / package).rglob("*.py")
    }
    assert sources <= names and "q4engine/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"q4engine", "annotate", "analysis"}
    assert any(re.fullmatch(r"q4engine/_native\b.*\.so", name) for name in names)
    assert "q4engine = q4engine.__main__:main" in told


def test_it_works_there(q4engine: Command, elsewhere: Path, repo_root: Path) -> None:
    model = write_tiny(elsewhere / "tiny.gguf")
    for words, pattern in (
        (("--version",), r"\Aq4engine \d"),
        (("run", model, "-p", "abc", "-n", 4, "-t", 2, "--capture", "c.csv", "--per-op", "--json"), r'"stop_reason"'),
    ):
        done = q4engine(*words)
        assert done.returncode == 0 and re.search(pattern, done.stdout), (words, done.stdout, done.stderr)
    assert (elsewhere / "c.csv").read_text().count("gemv") > 4
    where = subprocess.run(
        [repo_root / "build" / "arm64" / "python", "-c", "import q4engine; print(q4engine.__file__)"],
        cwd=elsewhere, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert Path(where.strip()) == repo_root / "build/arm64/app/q4engine/__init__.py"


def test_the_same_hash_as_here(q4engine: Command, elsewhere: Path) -> None:
    words = ["fingerprint", str(write_tiny(elsewhere / "tiny.gguf")), "-n", "2", "-t", "2", "--json"]
    here = subprocess.run([sys.executable, "-m", "q4engine", *words], capture_output=True, text=True, check=True)
    assert json.loads(q4engine(*words).stdout)["sha256"] == json.loads(here.stdout)["sha256"]
