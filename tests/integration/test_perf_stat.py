"""The real perf beside the engine, told to count one phase alone; with software events, which every machine has."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from capture_runs import read_capture
from models.tiny import TINY_LLAMA, write_tiny

from analysis.readers import read
from q4engine.engine import Engine

SECONDS = 120


@pytest.fixture(scope="module")
def perf() -> str:
    path = shutil.which("perf")
    if path is None:
        pytest.skip("perf is not on this machine")
    probe = subprocess.run([path, "stat", "-e", "task-clock", "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"perf counts nothing here: {probe.stderr.strip()}")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough that prompt and text each take some milliseconds."""
    spec = TINY_LLAMA.with_changes(dim=256, n_heads=4, n_kv_heads=4, head_dim=64, n_ffn=512, n_ctx_train=4096)
    return write_tiny(tmp_path_factory.mktemp("model") / "synthetic-wide.gguf", spec)


def counted_ms(perf: str, model: Path, folder: Path, phase: str, prompt: str, n_predict: int) -> tuple[float, float]:
    """Milliseconds of task-clock that perf counted, and that the calls of the phase took by the capture."""
    pipes = [folder / f"{phase}-{end}" for end in ("ctl", "ack")]
    for pipe in pipes:
        os.mkfifo(pipe)
    out, capture = folder / f"{phase}.csv", folder / f"{phase}-capture.csv"
    control = ",".join(map(str, pipes))
    run = [sys.executable, "-m", "q4engine", "run", str(model), "-p", prompt, "--no-chat", "-n", str(n_predict)]
    run += ["--temp", "0", "-t", "1", "--perf-ctl", f"fifo:{control}", "--perf-phase", phase]
    run += ["--capture", str(capture), "--events", "none", "--annotate", "off"]
    stat = [perf, "stat", "-x", ";", "-o", str(out), "-D", "-1", "--control", f"fifo:{control}", "-e", "task-clock"]
    done = subprocess.run([*stat, "--", *run], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    table = read(out)
    _, rows = read_capture(capture)
    took = sum(int(row["duration_ns"]) for row in rows if row["phase"] == phase) / 1e6
    return float(table.frame.loc[table.frame["event"] == "task-clock", "value"].iloc[0]), took


def test_perf_counts_the_phase_alone(perf: str, model: Path, tmp_path: Path) -> None:
    """Loading Python and the model takes far more CPU time than what is counted, as does the other phase."""
    prompt = "abc " * 400
    n_prompt = len(Engine.load(model, backend="numpy").tokenizer.encode(prompt, add_bos=False))
    assert n_prompt > 512  # several calls
    prefill, prefill_took = counted_ms(perf, model, tmp_path, "prefill", prompt, 2)
    whole = subprocess.run(
        [perf, "stat", "-x", ";", "-e", "task-clock", sys.executable, "-c", "import q4engine.cli.run, numpy"],
        capture_output=True,
        text=True,
        check=True,
    )
    start_up = float(next(csv.reader([whole.stderr.strip().splitlines()[-1]], delimiter=";"))[0])
    assert 0 < prefill < prefill_took + start_up / 2
    decode, decode_took = counted_ms(perf, model, tmp_path, "decode", "abc", 40)
    assert 0 < decode < decode_took + start_up / 2


def test_perf_that_is_not_there_is_one_error(model: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ctl")
    run = [sys.executable, "-m", "q4engine", "run", str(model), "-p", "abc", "-n", "1", "--no-chat"]
    done = subprocess.run([*run, "--perf-ctl", str(tmp_path / "ctl")], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: --perf-ctl ") and "Traceback" not in done.stderr
