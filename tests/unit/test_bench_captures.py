"""Captures of bench: one file a prompt, and what llama.cpp's side answers over its pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from capture_runs import read_capture
from fake_llama_cpp import write_fake

from q4engine.bench import captures, peer_worker
from q4engine.bench.captures import Plan, capture_all, prepare
from q4engine.cli import main
from q4engine.engine import Engine
from q4engine.errors import Q4Error


def test_each_prompt_has_a_file_of_its_own(tiny: Path, tmp_path: Path) -> None:
    plan = Plan(tmp_path / "new", prompts=(5, 3), n_gen=2, repetitions=2, n_batch=8, events="none")
    prepare(plan, [tiny])
    engine = Engine.load(tiny, n_threads=1)
    told: list[str] = []
    found = list(capture_all(engine, plan, told.append))
    names = [f"{tiny.stem}.t01.p{n:04}.csv" for n in plan.prompts]
    assert told == [captured.path.name for captured in found] == names
    assert all(captured.prompt_rate > 0 and (captured.generation_rate or 0) > 0 for captured in found)
    header, rows = read_capture(found[0].path)
    calls = [(row["phase"], row["n_past"], row["n_eval"]) for row in rows if row["op"] == ""]
    assert calls == [("prefill", "0", "5"), ("decode", "5", "1"), ("decode", "6", "1")] * 2
    assert float(header["read_peak_gbps"]) > 0


def test_files_of_equal_names_are_refused(tmp_path: Path) -> None:
    plan = Plan(tmp_path, prompts=(1,), n_gen=0, repetitions=1, n_batch=8, events="none")
    with pytest.raises(Q4Error, match="two models are called m,"):
        prepare(plan, [Path("a/m.gguf"), Path("b/m.gguf")])
    (tmp_path / "file").touch()
    with pytest.raises(Q4Error, match=r"file: the folder cannot be made"):
        prepare(Plan(tmp_path / "file", (1,), 0, 1, 8, "none"), [Path("m.gguf")])


def test_what_cannot_be_written_shows_before_anything_is_measured(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Q4Error, match=r"^/proc/self: nothing can be written there: "):
        prepare(Plan(Path("/proc/self"), (1,), 0, 1, 8, "none"), [tiny])
    monkeypatch.setattr(captures.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_400_000))
    plan, engine = Plan(tmp_path, (5, 90), n_gen=1000, repetitions=3, n_batch=8, events="none"), Engine.load(tiny, 1)
    told: list[str] = []
    with pytest.raises(Q4Error, match=r": 1\.4 MB are free there, and the captures of .* take [0-9.]+ MB at least: "):
        list(capture_all(engine, plan, told.append))
    assert told == [] and not list(tmp_path.iterdir())
    small = Plan(tmp_path, (3,), n_gen=1, repetitions=1, n_batch=8, events="none")
    (found,) = capture_all(engine, small, told.append)
    least = 2 * len(captures.operations(engine)) * captures._LEAST_ROW  # two calls
    assert least < found.path.stat().st_size


def test_weights_read_faster_than_the_peak_are_captured_once_more(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peaks = iter([1e-9, 1e9, 1e-9, 1e-9])
    monkeypatch.setattr(captures, "read_peak_gbps", lambda _: next(peaks))
    arguments = ["bench", str(tiny), "--capture", str(tmp_path), "-p", "3", "-n", "2", "-t", "1", "--events", "none"]
    for believed, warnings in ((True, 0), (False, 1)):
        assert main(arguments) == 0
        header, rows = read_capture(next(tmp_path.glob("*.csv")))
        assert (float(header["read_peak_gbps"]) > 1) == believed
        assert [row["n_eval"] for row in rows if row["op"] == ""] == ["3", "1", "1"]
        assert capsys.readouterr().err.count("% of the read peak in it, also when repeated: the two did") == warnings
    assert next(peaks, None) is None


def answers(folder: Path, model: str, *requests: dict[str, object]) -> list[dict[str, object]]:
    write_fake(folder, "good.gguf")
    command = [sys.executable, peer_worker.__file__, "llama.cpp", model, "f16", "64", "4", "2", "2"]
    done = subprocess.run(
        command,
        input="".join(json.dumps(request) + "\n" for request in requests),
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "noise" not in done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_peer_answers_each_request_in_a_line(tmp_path: Path) -> None:
    facts, prepared, ran = answers(
        tmp_path, "good.gguf", {"prepare": [1, 2]}, {"prompt": list(range(9)), "generated": [1, 2, 3]}
    )
    assert facts["name"] == "llama-cpp-python" and facts["system"] == "FAKE = 1"
    assert prepared == {} and isinstance(ran["seconds"], float)


def test_a_peer_that_fails_says_why(tmp_path: Path) -> None:
    assert answers(tmp_path, "bad.gguf") == [{"error": "RuntimeError: bad.gguf cannot be loaded"}]
    _, wrong = answers(tmp_path, "good.gguf", {"neither": 1})
    assert wrong == {"error": "KeyError: 'prompt'"}
