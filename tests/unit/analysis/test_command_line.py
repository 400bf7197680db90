"""What all commands share (`analysis.command_line`): usage errors, one line for bad files, full disks, closed pipes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from analysis_commands import REPO, Main, Run

from analysis import compare, functions, roofline, scaling, stalls, timeline


@pytest.mark.parametrize("module", [roofline, timeline, compare, functions, scaling])
def test_help_of_the_other_commands(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    assert f"python -m {module.__name__}" in capsys.readouterr().out


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "binary": bytes(range(256)) * 64,
    "NUL": b"# q4engine capture\n# format_version: 1\0\n",
    "UTF-16": "# q4engine capture\n".encode("utf-16"),
    "Latin-1": "1,,cycles:\xe9,1,100.00,,\n".encode("latin-1"),
    "one long line": b"x" * 10_000_000,
    "prose": b"It was the best of times.\n",
    "absurd numbers": b"1e999,,cycles,1,100.00,,\n",
    "truncated capture": b"# q4engine capture\n# format_version: 1\ncall,n_past,n_eval,op,start_ns,duration_ns\n",
    "future capture": b"# q4engine capture\n# format_version: 99\ncall\n",
}


@pytest.mark.parametrize("name", list(HOSTILE))
@pytest.mark.parametrize("main", [stalls.main, functions.main], ids=["stalls", "functions"])
def test_hostile_files_get_one_line(main: Main, name: str, tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic-hostile.csv"
    path.write_bytes(HOSTILE[name])
    status, out, err = command(main, path)
    assert (status, out) == (1, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert str(path) in err
    assert len(err) < 1000


def test_missing_files_and_folders(tmp_path: Path, command: Run) -> None:
    for target in (tmp_path / "absent.csv", tmp_path, tmp_path / "absent-*.csv"):
        status, out, err = command(stalls.main, target)
        assert (status, out, err.count("\n")) == (1, "", 1), target


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file(capture: Path, tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic-unreadable.csv"
    path.write_bytes(capture.read_bytes())
    path.chmod(0)
    status, _, err = command(stalls.main, path)
    assert (status, err.count("\n")) == (1, 1)


def test_outputs_that_cannot_be_written(capture: Path, tmp_path: Path, command: Run) -> None:
    for option, target in (("--plot", tmp_path / "no" / "a.png"), ("--html", tmp_path)):
        status, _, err = command(stalls.main, capture, option, target)
        assert status == 1 and "cannot be written" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--core", "no-such-core"],
        ["--core", "neoverse-n2"],
        ["--read-peak", "-1"],
        ["--read-peak", "nan"],
        ["--slots", "0"],
        ["--slots", "1e1"],
        ["--straddle", "maybe"],
        ["--format", "nothing"],
        ["--read-peak", "1e300"],
        ["--read-peak", "1_0"],
        ["--offset", "inf"],
        ["--offset", ""],
        ["--markers", ""],
        ["--model", ""],
        ["--plot", ""],
        ["--plot", "picture.pdf"],
        ["--html", ""],
        [""],
        ["--group-by", ","],
        ["--frobnicate"],
    ],
)
def test_usage_errors(arguments: list[str], capture: Path, command: Run) -> None:
    status, out, err = command(stalls.main, *([capture] if arguments else []), *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.endswith("; `python -m analysis.stalls --help` lists the options\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (functions.main, ["--top", "0"]),
        (functions.main, ["--top", "-1"]),
        (functions.main, ["--top", "9" * 5000]),
        (functions.main, ["--offset", "nan"]),
        (functions.main, ["--markers", ""]),
        (roofline.main, ["--compute-peak", "0"]),
        (roofline.main, ["--compute-peak", "inf"]),
        (timeline.main, ["--plot", "a.gif"]),
        (scaling.main, ["--plot", "a.gif"]),
        (compare.main, [""]),
    ],
)
def test_usage_errors_of_others(main: Main, arguments: list[str], capture: Path, command: Run) -> None:
    status, out, err = command(main, capture, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.endswith(" --help` lists the options\n")
    assert err.count("\n") == 1 and len(err) < 300


def test_a_closed_pipe_is_quiet(capture: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m analysis.stalls {capture} --json | head -c 10"
    done = subprocess.run(["sh", "-c", command], cwd=REPO, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("name", ["stalls", "roofline", "timeline", "compare", "scaling", "functions"])
def test_help_that_cannot_be_written(name: str, unbuffered: str) -> None:
    command = [sys.executable, "-W", "error", "-m", f"analysis.{name}", "--help"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, cwd=REPO, stdout=full, stderr=subprocess.PIPE, env=environment, text=True, timeout=120
        )
    assert (done.returncode, done.stderr) == (1, "error: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written(capture: Path, unbuffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "analysis.stalls", str(capture)],
            cwd=REPO, stdout=full, stderr=subprocess.PIPE, env=environment, text=True, timeout=120,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "error: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_standard_stream(capture: Path, closed: int) -> None:
    command = f"{shlex.quote(sys.executable)} -m analysis.stalls {capture} {closed}>&-"
    done = subprocess.run(["sh", "-c", command], cwd=REPO, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr, bool(done.stdout)) == (0, "", closed == 2)


def test_pandas_that_is_missing_is_one_line(capture: Path) -> None:
    command = [sys.executable, "-S", "-m", "analysis.stalls", str(capture)]  # -S: no installed packages
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: pandas is missing") and len(done.stderr.splitlines()) == 1


def test_the_documented_examples_can_be_made(tmp_path: Path) -> None:
    script = REPO / "docs" / "examples" / "make.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stderr) == (0, "")
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in script.parent.glob("*.png")}
    assert "=> compute-bound" in done.stdout and "=> memory-bound" in done.stdout
