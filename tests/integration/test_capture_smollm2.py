"""A long prompt on a real model: the same markers everywhere, and a daemon that comes, goes and stalls does no harm."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from annotate_daemon import Daemon, private_endpoints, wait
from capture_runs import read_capture
from trace_rules import checked_events

from analysis.readers import read
from annotate import Endpoints
from q4engine.engine import Engine

N_PREDICT = 16
PROMPT_TOKENS = 600
TEXTS = ["past 0, n_eval 512", "past 512, n_eval 88"] + [f"past {600 + i}, n_eval 1" for i in range(N_PREDICT - 1)]
SECONDS = 300
SUPPORT = Path(__file__).resolve().parents[1] / "support"

# The command with a daemon at another place than the usual one.
COMMAND = """
import functools, sys
import annotate
where = annotate.Endpoints(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
real = annotate.streamline
annotate.streamline = lambda mode, endpoints: real(mode, where)
sys.argv = ["q4engine", *sys.argv[5:]]
from q4engine.cli import main
sys.exit(main())
"""


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    with private_endpoints() as private:
        yield private


@pytest.fixture(scope="module")
def prompt_file(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of exactly 600 tokens."""
    text = "The" + " cat sat on the mat and" * 100
    tokenizer = Engine.load(smollm2_path, backend="numpy").tokenizer
    words = text.split(" ")
    while len(tokenizer.encode(" ".join(words), add_bos=False)) > PROMPT_TOKENS:
        words.pop()
    path = tmp_path_factory.mktemp("prompt") / "prompt.txt"
    path.write_text(" ".join(words))
    assert len(tokenizer.encode(path.read_text(), add_bos=False)) == PROMPT_TOKENS
    return path


def command(model: Path, prompt: Path, endpoints: Endpoints, *options: str, n_threads: int = 2) -> list[str]:
    where = [endpoints.parent_name, endpoints.data_name, str(endpoints.parent_port), str(endpoints.data_port)]
    run = ["run", str(model), "-f", str(prompt), "--no-chat", "--temp", "0", "-t", str(n_threads)]
    return [sys.executable, "-W", "error", "-c", COMMAND, *where, *run, "-n", str(N_PREDICT), *options]


@pytest.fixture(scope="module")
def plain_text(smollm2_path: Path, prompt_file: Path) -> str:
    """What the model says while nobody watches."""
    with private_endpoints() as nowhere:
        return finished(command(smollm2_path, prompt_file, nowhere, "--annotate", "off"))


def finished(arguments: list[str]) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_markers_everywhere(
    smollm2_path: Path, prompt_file: Path, plain_text: str, endpoints: Endpoints, tmp_path: Path
) -> None:
    files = {"--markers": tmp_path / "m.csv", "--capture": tmp_path / "c.csv", "--trace": tmp_path / "t.json"}
    options = [str(part) for pair in files.items() for part in pair]
    with Daemon(endpoints) as daemon:
        text = finished(command(smollm2_path, prompt_file, endpoints, "--annotate-ops", "--per-op", *options))
        daemon.wait(lambda: daemon.closed_connections >= 1)
        (stream,) = daemon.streams
    assert text == plain_text
    sent = [(message.text, message.time) for message in stream.messages if message.kind == "marker"]
    assert [marker for marker, _ in sent] == TEXTS
    with files["--markers"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(f"past {row['n_past']}, n_eval {row['n_eval']}", int(row["time_ns"])) for row in rows[:-1]] == sent
    assert (rows[-1]["n_past"], rows[-1]["n_eval"]) == ("615", "0")
    _, captured = read_capture(files["--capture"])
    calls = [row for row in captured if not row["op"]]
    assert [(f"past {row['n_past']}, n_eval {row['n_eval']}", int(row["start_ns"])) for row in calls] == sent
    instants = [event for event in checked_events(files["--trace"]) if event["ph"] == "i"]
    assert [(event["name"], round(event["ts"] * 1000)) for event in instants] == sent
    assert {"gemm", "gemv", "attention"} <= {m.text for m in stream.messages if m.kind == "channel"}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_operations_add_up_to_their_call(
    smollm2_path: Path, prompt_file: Path, plain_text: str, endpoints: Endpoints, tmp_path: Path, n_threads: int
) -> None:
    path = tmp_path / "c.csv"
    options = ("--capture", str(path), "--per-op", "--events", "none")
    assert finished(command(smollm2_path, prompt_file, endpoints, *options, n_threads=n_threads)) == plain_text
    header, rows = read_capture(path)
    calls = {row["call"]: int(row["duration_ns"]) for row in rows if not row["op"]}
    whole: dict[tuple[str, str], int] = defaultdict(int)
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        if row["op"]:
            whole[row["call"], row["thread"]] += int(row["duration_ns"])
        if row["op"] not in ("", "begin", "end"):  # what the engine computes, and waits, without its own preparation
            sums[row["call"], row["thread"]] += int(row["duration_ns"])
    assert whole == {(call, str(i)): duration for call, duration in calls.items() for i in range(n_threads)}
    shares = [sums[call, "0"] / duration for call, duration in calls.items()]
    assert max(shares) <= 1
    # of most calls: on a busy machine a thread may be put aside anywhere, and a second one wait to be woken
    assert n_threads > 1 or median(shares) >= 0.95
    assert any(row["op"] == "barrier" for row in rows) == (n_threads == 2)
    # Q4_0 has 4.5 bits a weight, the tied embedding Q8_0 8.5
    assert 0.9 * smollm2_path.stat().st_size < int(header["bytes_per_token"]) < smollm2_path.stat().st_size
    assert int(header["kv_bytes_per_token"]) == 30 * 3 * 64 * 2 * 2


def test_analysis_takes_the_capture(
    smollm2_path: Path, prompt_file: Path, endpoints: Endpoints, tmp_path: Path
) -> None:
    path = tmp_path / "c.csv"
    options = ("--capture", str(path), "--per-op", "--events", "task-clock")
    finished(command(smollm2_path, prompt_file, endpoints, *options))
    table = read(path)
    assert table.calls is not None and len(table.calls.whole) == len(TEXTS)
    report = finished([sys.executable, "-m", "analysis.stalls", str(path)])
    assert re.search(r"^prefill +600 tokens", report, re.MULTILINE)
    assert re.search(r"^decode +15 tokens", report, re.MULTILINE)
    assert "135M Q4_0" in report


class TestDaemon:
    """Neither the text nor the exit code depends on it."""

    def test_killed_in_the_middle(
        self, smollm2_path: Path, prompt_file: Path, plain_text: str, endpoints: Endpoints, tmp_path: Path
    ) -> None:
        # its names are taken from the one argument
        name = endpoints.parent_name.removesuffix("-parent")
        daemon = subprocess.Popen(
            [sys.executable, str(SUPPORT / "annotate_daemon.py"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(SUPPORT.parents[1])},
        )
        assert daemon.stdout is not None and daemon.stdout.readline() == b"ready\n"
        markers = tmp_path / "m.csv"
        options = ("--annotate-ops", "--markers", str(markers))
        run = subprocess.Popen(
            command(smollm2_path, prompt_file, endpoints, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait(lambda: markers.exists() and "512,88" in markers.read_text())
        finally:
            daemon.send_signal(signal.SIGKILL)
            daemon.communicate()
        out, err = run.communicate(timeout=SECONDS)
        assert (out, run.returncode) == (plain_text, 0), err

    def test_late(
        self, smollm2_path: Path, prompt_file: Path, plain_text: str, endpoints: Endpoints, tmp_path: Path
    ) -> None:
        markers = tmp_path / "m.csv"
        run = subprocess.Popen(
            command(smollm2_path, prompt_file, endpoints, "--annotate-ops", "--markers", str(markers)),
            stdout=subprocess.PIPE,
            text=True,
        )
        wait(lambda: markers.exists() and "0,512" in markers.read_text())
        with Daemon(endpoints):
            out, _ = run.communicate(timeout=SECONDS)
        assert (out, run.returncode) == (plain_text, 0)

    def test_that_reads_nothing(
        self, smollm2_path: Path, prompt_file: Path, plain_text: str, endpoints: Endpoints
    ) -> None:
        with Daemon(endpoints, reading=False):
            assert finished(command(smollm2_path, prompt_file, endpoints, "--annotate-ops")) == plain_text
