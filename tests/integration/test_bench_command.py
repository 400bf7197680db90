"""The bench command on a tiny random model: that it runs and reports, never how fast."""

from __future__ import annotations

import contextlib
import csv
import json
import shlex
import sqlite3
import sys
import time
from pathlib import Path

import pytest
from models.tiny import write_tiny

from q4engine import _native
from q4engine.bench import explained, runner
from q4engine.bench import peer as peer_module
from q4engine.bench.peer import Peer
from q4engine.cli import main
from q4engine.engine import Engine
from q4engine.errors import Q4Error

SHORT = ("-p", "5,3", "-n", "2", "-r", "2", "-b", "4")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("bench") / "synthetic tiny.gguf")


def test_json(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tiny), *SHORT, "-d", "0,4", "-t", "1,2", "-o", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["machine"]["features"] == _native.cpu_features()
    found = [(test["test"], test["n_threads"]) for test in data["results"]]
    names = ["pp5", "pp3", "tg2", "pp5 @ d4", "pp3 @ d4", "tg2 @ d4"]
    assert found == [(name, threads) for threads in (1, 2) for name in names]
    for test in data["results"]:
        assert len(test["samples_ns"]) == len(test["samples_ts"]) == 2
        assert all(sample > 0 for sample in test["samples_ns"])
        assert test["warmup_ns"] > 0
        assert test["migrations"] >= 0
        assert test["peer"] is None
        if test["n_gen"]:
            assert test["limit"] == "read"
            assert test["bytes_per_test"] > 0
            assert len(test["limit_samples"]) == 2 * (2 + 1)  # before each repetition and behind the last


def test_markdown_and_csv(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "-m", str(tiny), *SHORT, "-t", "1", "--no-warmup"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[5].strip() for line in lines[2:5]] == ["pp5", "pp3", "tg2"]
    assert lines[-1].startswith("q4engine: ")
    assert main(["bench", str(tiny), *SHORT, "-t", "1", "-o", "csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["test"] for row in rows] == ["pp5", "pp3", "tg2"]


def test_lines_of_json_and_sql(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tiny), *SHORT, "-t", "1", "-o", "jsonl"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["test"] for one in found] == ["pp5", "pp3", "tg2"]
    assert all(one["features"] == _native.cpu_features() and len(one["samples_ns"]) == 2 for one in found)
    assert main(["bench", str(tiny), *SHORT, "-t", "1", "-o", "sql"]) == 0
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.executescript(capsys.readouterr().out)
        rows = database.execute("SELECT test, n_prompt, n_gen, model_filename FROM q4engine_bench").fetchall()
    assert rows == [("pp5", 5, 0, str(tiny)), ("pp3", 3, 0, str(tiny)), ("tg2", 0, 2, str(tiny))]


def test_an_error_does_not_lose_what_was_measured(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = tiny.with_name("absent.gguf")
    assert main(["bench", str(tiny), str(absent), "-p", "3", "-n", "0", "-r", "1", "-t", "1", "-o", "json"]) == 1
    captured = capsys.readouterr()
    assert [test["test"] for test in json.loads(captured.out)["results"]] == ["pp3"]
    assert captured.err.splitlines()[-1] == f"error: {absent}: no such file"


def test_probes(tiny: Path) -> None:
    engine = Engine.load(tiny, n_threads=2)
    n_bytes, seconds = _native.probe_read(engine.native)
    assert n_bytes >= sum(choice.packed_bytes for choice in engine.kernels)
    assert seconds > 0
    found = _native.probe_int8(engine.native, 1000)
    if found is not None:
        instruction, macs, seconds = found
        assert instruction and macs >= 2 * 1000 and seconds > 0
    for macs in (0, -1, 1 << 41):
        with pytest.raises(ValueError, match="number of products"):
            _native.probe_int8(engine.native, macs)


def test_probes_follow_the_cpu_features(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q4_CPU_FEATURES", "none")
    assert _native.probe_int8(Engine.load(tiny, n_threads=1).native, 1000) is None


# ---- a peer ----------------------------------------------------------------------------------------------------------

_FAKE = """
import json, sys
log = open(sys.argv[2] + ".log", "w")
def say(data): print(json.dumps(data), flush=True)
say({"version": "fake"})
for line in sys.stdin:
    request = json.loads(line)
    log.write(line); log.flush()
    if "FAIL" == MODE and "prompt" in request: say({"error": "RuntimeError: made to fail"})
    elif "END" == MODE and "prompt" in request: sys.exit("made to end")
    else: say({"seconds": 0.25})
"""


def fake_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(_FAKE.replace("MODE", repr(mode)))
    monkeypatch.setattr(peer_module, "_WORKER", worker)


def test_a_peer_takes_turns_and_gets_a_ratio(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_peer(tmp_path, monkeypatch, "")
    for limit in ("LIMIT_BELIEVED", "RATIO_BELIEVED", "DRIFT_REPEATED"):  # nothing is strange, so nothing is repeated
        monkeypatch.setattr(runner, limit, float("inf"))
    model = tmp_path / "synthetic.gguf"
    model.write_bytes(tiny.read_bytes())
    command = ["bench", str(model), "-p", "5", "-n", "2", "-d", "3", "-r", "3", "-t", "1", "--vs", "llama-cpp"]
    assert main([*command, "-o", "json"]) == 0
    prompt, _ = json.loads(capsys.readouterr().out)["results"]
    assert prompt["peer"]["samples_ns"] == [250_000_000] * 3
    assert prompt["peer"]["ratio"] == pytest.approx(0.25e9 / sorted(prompt["samples_ns"])[1])
    requests = [json.loads(line) for line in Path(f"{model}.log").read_text().splitlines()]
    assert [sorted(request) for request in requests[:2]] == [["prepare"], ["generated", "prompt"]]
    asked = [(len(request["prompt"]), len(request["generated"])) for request in requests if "prompt" in request]
    assert asked == [(5, 0)] * 4 + [(0, 1)] + [(0, 2)] * 3  # the first of each warms up
    assert [len(request["prepare"]) for request in requests if "prepare" in request] == [3, 3]


@pytest.mark.parametrize(
    ("mode", "message"), [("FAIL", "RuntimeError: made to fail"), ("END", "exit code 1: 'made to end'")]
)
def test_a_peer_that_fails_is_one_line(
    mode: str, message: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    fake_peer(tmp_path, monkeypatch, mode)
    assert main(["bench", str(tiny), "-p", "5", "-n", "0", "-t", "1", "--vs", "llama-cpp"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: llama.cpp (") and message in error


def test_a_peer_of_which_nothing_is_captured(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are run, one of them watched, and what cannot be compared is one line."""
    fake_peer(tmp_path, monkeypatch, "")
    model = tmp_path / "synthetic.gguf"
    model.write_bytes(tiny.read_bytes())
    words = ["bench", str(model), "--vs", "llama-cpp", "--explain", "-p", "5", "-n", "2", "-t", "1", "--events", "none"]
    assert main([*words, "--capture", str(tmp_path / "captures")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and ".t01.p0005.llama.cpp.csv: nothing of llama.cpp was captured" in error
    requests = [json.loads(line) for line in Path(f"{model}.log").read_text().splitlines()]
    assert [len(request["generated"]) for request in requests if "generated" in request] == [1, 2]
    assert [path.name for path in (tmp_path / "captures").iterdir()] == ["synthetic.t01.p0005.csv"]
    watch = explained.watching(Path("a b.csv"), "mix", 3)
    assert watch[1:3] == ["-m", "q4engine"] and watch[-1] == "--" and "a b.csv" in watch


def test_a_peer_at_its_work_is_not_waited_for_when_a_signal_ends_the_command(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("print({}, flush=True)\nwhile True: pass")
    monkeypatch.setattr(peer_module, "_WORKER", worker)
    peer = Peer(sys.executable, tiny, 16, 4, (1, 1), before=["env"])
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), peer:
        raise KeyboardInterrupt
    assert time.monotonic() - begin < peer_module._PATIENCE / 4 and not Path(f"/proc/{peer.pid}").exists()


def test_a_peer_that_is_not_installed(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(Q4Error, match=r"--vs-python '.*absent': cannot be started"):
        Peer(str(tmp_path / "absent"), tiny, 16, 4, (1, 1))
    isolated = tmp_path / "python"
    isolated.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n')  # no site-packages, so no llama_cpp
    isolated.chmod(0o755)
    with pytest.raises(Q4Error, match="No module named 'llama_cpp'"):
        Peer(str(isolated), tiny, 16, 4, (1, 1))
