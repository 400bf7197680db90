"""Files that a run is to write must not be those that it reads, nor one another; nohup."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from annotate_daemon import wait
from endless import write_endless

from q4engine.cli import main

OUTPUTS = ("--capture", "--markers", "--trace", "--address-map")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_endless(tmp_path / "synthetic-tiny.gguf")


@pytest.mark.parametrize("option", OUTPUTS)
@pytest.mark.parametrize("link", ["itself", "symbolic", "hard"])
def test_the_model_is_never_written_over(
    model: Path, option: str, link: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model if link == "itself" else model.with_name("other")
    if link == "symbolic":
        path.symlink_to(model)
    elif link == "hard":
        path.hardlink_to(model)
    before = model.read_bytes()
    assert main(["run", str(model), "-p", "abc", "-n", "1", option, str(path)]) == 2
    assert f"error: {option} {path} is the file of the model: give another" in capsys.readouterr().err
    assert model.read_bytes() == before


@pytest.mark.parametrize("option", OUTPUTS)
@pytest.mark.parametrize("text", ["-f", "--system-prompt-file", "--chat-template"])
def test_texts_are_never_written_over(model: Path, option: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = model.with_name("text.txt")
    path.write_text("abc")
    prompt = [] if text == "-f" else ["-p", "abc"]
    assert main(["run", str(model), *prompt, text, str(path), "-n", "1", option, str(path)]) == 2
    assert f"error: {option} {path} is the file of the " in capsys.readouterr().err
    assert path.read_text() == "abc"


def test_two_names_of_one_output(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = model.with_name("first.csv"), model.with_name("second.csv")
    first.write_text("before")
    second.hardlink_to(first)
    assert main(["run", str(model), "-p", "abc", "--markers", str(first), "--capture", str(second)]) == 2
    assert f"--capture {second} is the file of --markers" in capsys.readouterr().err
    assert first.read_text() == "before"


@pytest.mark.parametrize("option", OUTPUTS)
def test_what_stdout_goes_to_is_not_written_twice(model: Path, option: str) -> None:
    out = model.with_name("out.txt")
    command = [sys.executable, "-m", "q4engine", "run", str(model), "-p", "abc", "-n", "1", "--no-chat"]
    with out.open("wb") as file:
        done = subprocess.run([*command, option, "/dev/stdout"], stdout=file, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "is the file of standard output" in done.stderr
    assert out.read_bytes() == b""


def test_a_pipe_takes_text_and_markers(model: Path) -> None:
    command = [sys.executable, "-m", "q4engine", "run", str(model), "-p", "abc", "-n", "1", "--no-chat"]
    done = subprocess.run([*command, "--markers", "/dev/stdout"], capture_output=True, check=True)
    assert b"time_ns,n_past,n_eval,phase\n" in done.stdout


def test_no_pipes_are_a_mistake(model: Path) -> None:
    assert main(["run", str(model), "-p", "abc", "--perf-ctl", ""]) == 2


def test_nohup(model: Path) -> None:
    """A hang-up that the caller ignores does not end the run."""
    capture = model.with_name("c.csv")
    command = [sys.executable, "-m", "q4engine", "run", str(model), "--temp", "0", "-t", "1", "--no-chat", "-p", "abc"]
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command, "-c", "100000", "--capture", str(capture)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait(lambda: capture.exists() and capture.read_text().count("decode") > 10)
        process.send_signal(signal.SIGHUP)
        before = capture.stat().st_size
        wait(lambda: capture.stat().st_size > before)
    finally:
        process.terminate()
    assert process.wait(timeout=60) == 143
