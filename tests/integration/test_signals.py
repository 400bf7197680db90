"""Every command ends soon after SIGINT or SIGTERM, whenever it comes: while it starts, loads, quantises, converts,
inspects, tokenises, scores, chats, watches, renders a template, reads a large capture or draws. Q4_SIGNALS says how
often each is asked to.

On a machine of its own a command would end within a second: what is asserted of the time until then is what it did not
spend waiting for a CPU that others had.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from endless import write_endless
from fake_llama_cpp import write_fake
from hf_folders import write_folder
from models.tiny import TINY_LLAMA, write_tiny
from models.vocabulary import CHAT_TEMPLATE
from started import Started
from swept import synthetic_plan, write_results

pytestmark = pytest.mark.long

DATA = Path(__file__).parents[1] / "data"
SIGNALS = int(os.environ.get("Q4_SIGNALS", "3"))
MOST_SECONDS = 1.0
MOST_WAIT = 30.0
IDLE = 1.0  # without CPU time: it waits for a person
SLOW_TEMPLATE = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals")
    content = write_endless(folder / "endless.gguf").read_bytes()
    slow = SLOW_TEMPLATE.encode().ljust(len(CHAT_TEMPLATE.encode()))
    (folder / "slow.gguf").write_bytes(content.replace(CHAT_TEMPLATE.encode(), slow))
    wide = TINY_LLAMA.with_changes(dim=512, n_heads=16, n_kv_heads=16, head_dim=32, n_ffn=2048, n_layers=12)
    write_folder(write_tiny(folder / "wide.gguf", wide), folder / "wide")
    (folder / "word.txt").write_text("a" * 3_000_000)
    (folder / "text.txt").write_text("One two three, and so on. " * 20_000)
    (folder / "prompt.txt").write_text("One two three, and so on. " * 500)
    sample = next((DATA / "printed" / "perf-script").glob("chains*")).read_text()
    (folder / "script.txt").write_text("\n".join([sample] * 3000))
    rows = "".join(f"{at / 1000:.6f},{at},,cycles,1000,100.00,,\n" for at in range(1, 400_000))
    (folder / "perf.csv").write_text(rows)
    (folder / "capture.csv").write_bytes((DATA / "capture_per_op.csv").read_bytes())
    (folder / "plan.toml").write_text('[axes]\nmodel = ["endless.gguf"]\nprompt = [16]\ngenerate = [500, 20000]\n')
    plan = synthetic_plan({"threads": list(range(1, 9)), "prompt": list(range(1, 9))}, blocks=6)
    write_results(folder / "results.sqlite", plan, lambda *_: [0.1])
    (folder / "words.gbnf").write_text("root ::= (" + " | ".join(f'"{word:05}"' for word in range(1500)) + ")*")
    (folder / "fleet").mkdir()
    for number in range(40):
        shutil.copy(folder / "capture.csv", folder / "fleet" / f"capture{number}.csv")
    lines = (f"a 1 [0] {at}.0: 5 mem: {at % 65_536 * 16:x} |OP LOAD|LVL L1 hit| 12 ffff f\n" for at in range(200_000))
    (folder / "samples.txt").write_text("".join(lines))
    ranges = "".join(f"0x{at * 16:x},0x{at * 16 + 16:x},weights,t{at}\n" for at in range(20_000))
    (folder / "map.csv").write_text(f"# q4engine address map\n{ranges}")
    times = [{"avg_ts": 10.0, "n_gen": 128, "model_filename": "m", "n_threads": n, "samples_ts": [10.0, 11.0] * 50}
             for n in range(1, 500)]  # fmt: skip
    (folder / "speeds.json").write_text(json.dumps(times, indent=1))
    write_fake(folder, "endless.gguf")
    (folder / "python").write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    (folder / "python").chmod(0o755)
    return folder


COMMANDS = {
    "run": "run endless.gguf -p abc --no-chat -n 99000 -c 99999 --capture out.csv",
    "a long prompt": "run endless.gguf -f prompt.txt --no-chat -n 1 -c 99999 -b 1024",
    "a template": "run slow.gguf -p abc -n 5",
    "an answer in a chat": "run endless.gguf -n 99000 -c 99999 --temp 0",
    "a chat at its mark": "run endless.gguf -n 20",
    "bench": "bench endless.gguf -p 64 -n 64 -r 50",
    "bench with captures": "bench endless.gguf --capture captures -p 16,32,64,128 -n 500",
    "quantize": "quantize wide.gguf out.gguf --type q4_0",
    "convert": "convert wide out.gguf --type f16",
    "perplexity": "perplexity endless.gguf -f text.txt --kl-base endless.gguf",
    "inspect": "inspect wide.gguf --kernels",
    "tokenize": "tokenize endless.gguf -f word.txt",
    "fingerprint": "fingerprint wide.gguf",
    "doctor": "doctor",
    "stalls": "analysis.stalls perf.csv --html out.html",
    "a plot": "analysis.stalls capture.csv --html out.html --plot out.png",
    "timeline": "analysis.timeline perf.csv",
    "compare": "analysis.compare capture.csv capture.csv --html out.html",
    "roofline": "analysis.roofline capture.csv --read-peak 20 --plot out.svg",
    "scaling": "analysis.scaling capture.csv --plot out.svg",
    "functions": "analysis.functions script.txt",
    "analyse": "analyse stalls perf.csv --html out.html",
    "a long measurement": "bench endless.gguf --sustain 900 --plot out.svg",
    "sweep": "sweep plan.toml -o swept.sqlite",
    "a sweep's report": "analysis.sweep results.sqlite --html out.html --plot out.png",
    "a fleet": "analysis.fleet fleet --output dataset --again --html out.html",
    "a fleet here": "analysis.fleet fleet --workers 0 --plot out.svg",
    "memory": "analysis.memory samples.txt --address-map map.csv --html out.html",
    "benchmarks": "analysis.benchmarks speeds.json --against speeds.json --html out.html --plot out.png",
    "two engines": "bench endless.gguf --vs llama-cpp --vs-python ./python -p 16 -n 64 -r 50",
    "mcp": "mcp",
    "tune": "tune endless.gguf",
    "explain": "explain endless.gguf --check",
    "a grammar": "run endless.gguf -p abc --no-chat -n 99000 -c 99999 --grammar-file words.gbnf",
    "completion": "completion zsh",
    "manual": "manual run",
    "watch": "watch --capture out.csv --events none -- sleep 900",
}
MESSAGES: tuple[tuple[str, dict[str, object]], ...] = (
    ("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "it", "version": "1"}}),
    ("notifications/initialized", {}),
    ("tools/call", {"name": "bench", "arguments": {"model": "endless.gguf"}}),
)


def as_lines() -> bytes:
    """A client's messages; those that are answered are numbered."""
    lines = []
    for number, (method, params) in enumerate(MESSAGES):
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        lines.append(json.dumps(message if method.startswith("notifications") else message | {"id": number}))
    return "".join(f"{line}\n" for line in lines).encode()


TYPED = {"an answer in a chat": b"hello\r", "a chat at its mark": b"hello\rhal", "mcp": as_lines()}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends(name: str, number: signal.Signals, folder: Path) -> None:
    rng = random.Random(f"{name} {number}")
    for _ in range(SIGNALS):
        started = Started(
            COMMANDS[name].split(),
            folder=folder,
            typed=TYPED.get(name, b""),
            environment={"Q4_HISTORY": "", "XDG_CACHE_HOME": str(folder)},
        )
        ends_after(started, number, rng.uniform(0, 3.0))


def ends_after(started: Started, number: signal.Signals, seconds: float) -> None:
    """``seconds`` of CPU time that the command has had when the signal comes: as far on a busy machine as on any."""
    while not started.begun() and started.is_running():
        started.tend(0.01)
    seconds += started.cpu_seconds()
    seen, since = 0.0, time.monotonic()
    while started.is_running() and started.cpu_seconds() < seconds and time.monotonic() < since + IDLE:
        if started.cpu_seconds() > seen:
            seen, since = started.cpu_seconds(), time.monotonic()
        started.tend(0.01)
    running = started.is_running()
    at, waited, begin = started.cpu_seconds(), started.waited_seconds(), time.monotonic()
    started.end_by(number, MOST_WAIT)
    taken, cpu = time.monotonic() - begin, started.cpu_seconds() - at
    own = taken - (started.waited_seconds() - waited)
    said = started.ended(0.1)
    assert "Traceback" not in said, said
    if running:
        print(f"{number.name} at {at:.2f} s: {taken:.3f} s, {own:.3f} s of its own, {cpu:.2f} s of CPU time")
        assert cpu < MOST_SECONDS and own < MOST_SECONDS
