"""Commands that write, killed at random moments: no half file under a final name, no lost old one, nothing left behind
once the next run has written there. Q4_KILLS says how often: 8 of each by default, 40 in `make test-long`."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from endless import write_endless
from models.tiny import TINY_LLAMA, write_tiny

from q4engine.gguf import GGUFFile

KILLS = int(os.environ.get("Q4_KILLS", "8"))
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# As a command is started that inherits no ignored signals.
RUN = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
import runpy, sys
sys.argv[0] = "-m"
runpy.run_module("q4engine", run_name="__main__", alter_sys=True)
"""


def killed(words: list[str], rng: random.Random, seconds: float, run: str = RUN) -> int:
    """Runs a command and sends it a signal after at most that many seconds; its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-c", run, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    time.sleep(rng.uniform(0, seconds))
    process.send_signal(rng.choice(SIGNALS))
    _, err = process.communicate(timeout=60)
    # what comes before a line of the package runs, Python itself answers
    assert not re.search(r'File ".*[/\\](q4engine|analysis|annotate)[/\\]', err) and "Exception ignored" not in err, err
    return process.returncode


def completed(words: list[str], run: str = RUN) -> float:
    """Seconds that the command takes undisturbed."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", run, *words], check=True, capture_output=True)
    return time.monotonic() - start


def test_quantize(tmp_path: Path) -> None:
    rng = random.Random(1)
    source, out = tmp_path / "in.gguf", tmp_path / "out.gguf"
    write_tiny(source, TINY_LLAMA.with_changes(dim=256, n_heads=8, n_kv_heads=8, head_dim=32, n_ffn=1024, n_layers=6))
    words = ["quantize", str(source), str(out), "--type", "q4_0"]
    seconds = completed(words)
    whole = out.read_bytes()
    out.write_bytes(b"earlier")
    codes = set()
    for _ in range(KILLS):
        codes.add(killed(words, rng, 1.2 * seconds))
        assert out.read_bytes() in (b"earlier", whole)
        if out.read_bytes() == whole:
            out.write_bytes(b"earlier")
    assert codes - {0}, "no run was cut short"
    completed(words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.gguf", "out.gguf"] and out.read_bytes() == whole


def test_run(tmp_path: Path) -> None:
    rng = random.Random(2)
    model = write_endless(tmp_path / "model.gguf")
    outputs = {name: tmp_path / name for name in ("capture", "markers", "trace")}
    words = ["run", str(model), "-p", "abc", "--no-chat", "--temp", "0", "-t", "1", "--per-op"]
    words += [word for name, path in outputs.items() for word in (f"--{name}", str(path))]
    seconds = completed([*words, "-n", "200", "-c", "300"])
    for _ in range(KILLS):
        for path in outputs.values():
            path.write_text("earlier\n")
        killed([*words, "-n", "400", "-c", "500"], rng, 1.5 * seconds)
        for name, path in outputs.items():
            check(name, path.read_text())
    completed([*words, "-n", "2", "-c", "20"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["capture", "markers", "model.gguf", "trace"]


def check(name: str, text: str) -> None:
    """The file from before, or a whole one: rows to their end, a trace to its last bracket."""
    if text == "earlier\n":
        return
    if name == "trace":
        assert text.startswith('{"displayTimeUnit"') and text.endswith("]}\n")
        return
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    assert text.endswith("\n") and len(rows) >= 2 and len({row.count(",") for row in rows}) == 1


def test_reports(tmp_path: Path) -> None:
    rng = random.Random(4)
    stalls = RUN.replace("q4engine", "analysis.stalls")
    capture = tmp_path / "capture.csv"
    capture.write_bytes((Path(__file__).parents[1] / "data" / "capture_per_op.csv").read_bytes())
    before = capture.read_bytes()
    outputs = {"--html": tmp_path / "page.html", "--plot": tmp_path / "plot.svg"}
    words = [str(capture), *(word for option, path in outputs.items() for word in (option, str(path)))]
    seconds = completed(words, stalls)
    for _ in range(KILLS):
        for path in outputs.values():
            path.write_text("earlier\n")
        killed(words, rng, 1.2 * seconds, stalls)
        page, plot = (path.read_text() for path in outputs.values())
        assert page == "earlier\n" or (page.startswith("<!") and page.rstrip().endswith("</html>"))
        assert plot == "earlier\n" or (plot.startswith("<?xml") and plot.rstrip().endswith("</svg>"))
    completed(words, stalls)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["capture.csv", "page.html", "plot.svg"]
    assert capture.read_bytes() == before


def test_the_source_of_a_killed_quantize_is_untouched(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "in.gguf")
    before = source.read_bytes()
    killed(["quantize", str(source), str(tmp_path / "out.gguf")], random.Random(3), 0.5)
    assert source.read_bytes() == before
    with GGUFFile.open(source) as file:
        assert file.tensors
