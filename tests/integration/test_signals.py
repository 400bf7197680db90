"""Every command ends soon after SIGINT or SIGTERM, whenever it comes: while it starts, loads, quantises, inspects,
tokenises, renders a template, reads a large capture or draws. Q4_SIGNALS says how often each is asked to."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from endless import write_endless
from models.tiny import TINY_LLAMA, write_tiny
from models.vocabulary import CHAT_TEMPLATE

pytestmark = pytest.mark.long

SIGNALS = int(os.environ.get("Q4_SIGNALS", "3"))
MOST_SECONDS = 1.0  # of CPU time: a busy machine makes everybody wait, and what is asserted is what the command does
MOST_WAIT = 30.0
SLOW_TEMPLATE = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
START = """
import importlib.util, runpy, signal, sys, warnings
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "-m"
print(flush=True)
runpy.run_module("{module}", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals")
    content = write_endless(folder / "endless.gguf").read_bytes()
    slow = SLOW_TEMPLATE.encode().ljust(len(CHAT_TEMPLATE.encode()))
    (folder / "slow.gguf").write_bytes(content.replace(CHAT_TEMPLATE.encode(), slow))
    write_tiny(folder / "wide.gguf", TINY_LLAMA.with_changes(dim=512, n_heads=16, head_dim=32, n_ffn=2048, n_layers=12))
    (folder / "word.txt").write_text("a" * 3_000_000)
    rows = "".join(f"{at / 1000:.6f},{at},,cycles,1000,100.00,,\n" for at in range(1, 400_000))
    (folder / "perf.csv").write_text(rows)
    capture = Path(__file__).parents[1] / "data" / "capture_per_op.csv"
    (folder / "capture.csv").write_bytes(capture.read_bytes())
    return folder


COMMANDS = {
    "run": "run endless.gguf -p abc --no-chat -n 99000 -c 99999 --capture out.csv",
    "a template": "run slow.gguf -p abc -n 5",
    "bench": "bench endless.gguf -p 64 -n 64 -r 50",
    "quantize": "quantize wide.gguf out.gguf --type q4_0",
    "inspect": "inspect wide.gguf",
    "tokenize": "tokenize endless.gguf -f word.txt",
    "fingerprint": "fingerprint wide.gguf",
    "doctor": "doctor",
    "stalls": "analysis.stalls perf.csv --html out.html",
    "a plot": "analysis.stalls capture.csv --html out.html --plot out.png",
    "timeline": "analysis.timeline perf.csv",
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends(name: str, number: signal.Signals, folder: Path) -> None:
    rng = random.Random(f"{name} {number}")
    for _ in range(SIGNALS):
        ends_after(COMMANDS[name], number, rng.uniform(0, 3.0), folder)


def ends_after(command: str, number: signal.Signals, seconds: float, folder: Path) -> None:
    """``seconds`` of CPU time that the command has had when the signal comes: as far on a busy machine as on any."""
    words = command.split()
    module = words.pop(0) if command.startswith("analysis.") else "q4engine"
    start = [sys.executable, "-c", START.format(module=module), *words]
    with (
        tempfile.TemporaryFile("w+") as file,
        subprocess.Popen(start, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file) as process,
    ):
        while os.fstat(file.fileno()).st_size == 0 and process.poll() is None:
            time.sleep(0.01)  # what comes before, Python itself answers
        seconds += cpu_seconds(process.pid) or 0.0
        while (spent := cpu_seconds(process.pid)) is not None and spent < seconds:
            time.sleep(0.01)
        before = last = cpu_seconds(process.pid)
        process.send_signal(number)
        end = time.monotonic() + MOST_WAIT
        while (now := cpu_seconds(process.pid)) is not None and time.monotonic() < end:
            last = now
            time.sleep(0.005)
        if now is not None:
            process.kill()
        file.seek(0)
        said = file.read()
    assert now is None, f"{command} goes on after {number.name} at {before} s of its CPU time"
    assert "Traceback" not in said, said
    if before is not None and last is not None:
        assert last - before < MOST_SECONDS, f"{last - before:.2f} s after {number.name} at {before:.2f} s"


def cpu_seconds(pid: int) -> float | None:
    """Of all threads of a process of ours; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return None if fields[0] == "Z" else (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
