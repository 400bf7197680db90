"""`analysis.stalls` end to end: the report, its data, a folder of captures, what the command line overrides."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic_captures as captures
from analysis_commands import HEADER, PARTS, PNG, TOKEN, Run, spawn, write_tokens
from synthetic_captures import decode

from analysis import compare, roofline, spans, stalls, timeline


def test_stalls_as_a_process(capture: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "stalls.png", tmp_path / "page.html"]
    done = spawn("stalls", capture, "--plot", outputs[0], "--html", outputs[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.index("prefill") < done.stdout.index("=> compute-bound") < done.stdout.index("=> memory-bound")
    assert "margin" in done.stdout
    assert outputs[0].read_bytes().startswith(PNG)
    assert "<!doctype html>" in outputs[1].read_text()
    assert spawn("stalls", capture, "--plot", tmp_path / "stalls.svg").returncode == 0
    assert (tmp_path / "stalls.svg").read_bytes().startswith(b"<?xml")


def test_stalls_json(capture: Path, command: Run) -> None:
    status, out, err = command(stalls.main, capture, "--json")
    assert (status, err) == (0, "")
    (found,) = json.loads(out)["captures"]
    prompt, tokens = found["phases"]
    assert [prompt["verdict"]["outcome"], tokens["verdict"]["outcome"]] == ["compute-bound", "memory-bound"]
    assert prompt["core"] == "neoverse-n2-r0p3"
    memory = next(check for check in tokens["rules"][0]["checks"] if check["key"] == "m")
    assert (memory["value"], memory["threshold"]) == (pytest.approx(0.5), 0.4)
    assert memory["margin"] == pytest.approx(0.1)
    assert tokens["metrics"]["ipc"]["value"] == pytest.approx(0.8)
    assert tokens["metrics"]["sve"] == {
        "value": None,
        "reason": "not measured: SVE_INST_SPEC (not in the capture)",
        "events": ["SVE_INST_SPEC", "INST_SPEC"],
        "running": None,
        "counted_together": True,
        "unit": "share",
        "interval": None,
    }
    assert len(tokens["steps"]) == 20
    assert {step["outcome"] for step in tokens["steps"]} == {"memory-bound"}


def test_set_aside_steps_and_costly_captures_are_named(tmp_path: Path, command: Run) -> None:
    calls = [replace(call, migrations=int(call.n_past == 515)) for call in decode(10, 0.02, TOKEN)]
    path = captures.write_capture(tmp_path / "synthetic.csv", calls, HEADER | {"observer_cost_percent": 2.1})
    (found,) = json.loads(command(stalls.main, path, "--json")[1])["captures"]
    assert any("counting cost 2.1 %" in note for note in found["notes"])
    (phase,) = found["phases"]
    assert [step["n_past"] for step in phase["steps"] if step["set_aside"]] == [515]
    assert any("1 of 10 steps changed CPU" in reason for reason in phase["verdict"]["reasons"])


def test_command_line_comes_before_the_header(capture: Path, command: Run) -> None:
    _, out, _ = command(stalls.main, capture, "--json", "--core", "cortex-a76", "--read-peak", "100")
    phases = json.loads(out)["captures"][0]["phases"]
    assert {phase["core"] for phase in phases} == {"cortex-a76"}
    assert {phase["read_peak_bytes_per_s"] for phase in phases} == {100e9}


def test_stalls_of_a_folder(per_op: Path, command: Run) -> None:
    status, out, err = command(stalls.main, per_op, "--group-by", "core,threads")
    assert (status, err) == (0, "")
    rows = [re.split(" {2,}", line) for line in out.splitlines()]
    assert rows[0][:4] == ["core", "threads", "phase", "captures"]
    assert [row[1:4] for row in rows[1:]] == [[n, kind, "6"] for n in "12" for kind in ("decode", "prefill")]
    pattern = per_op / "synthetic-t1-*.csv"
    assert len(json.loads(command(stalls.main, pattern, "--json")[1])["captures"]) == 6


def test_pictures_repeat(capture: Path, command: Run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        command(stalls.main, capture, "--plot", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_lenient_skips_and_counts(capture: Path, tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic-malformed.csv"
    path.write_text(capture.read_text() + "21,decode,oops\n")
    status, _, err = command(stalls.main, path)
    assert status == 1 and "line" in err
    status, out, _ = command(stalls.main, path, "--lenient")
    assert status == 0
    assert "note:" in out and "=> memory-bound" in out


def test_model_file_gives_bytes_per_token(capture: Path, tmp_path: Path, command: Run) -> None:
    (tmp_path / "no.gguf").write_bytes(b"not a model")
    status, _, err = command(stalls.main, capture, "--model", tmp_path / "no.gguf")
    assert status == 1 and "GGUF" in err


def test_emulated_is_said_everywhere(tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic-emulated.csv"
    header = {"emulated": "yes", "arch": "aarch64"}
    rates = {"INST_RETIRED": 1e9, "ASE_SPEC": 5e8, "LD_SPEC": 2e8, "INST_SPEC": 1e9, "L3D_CACHE_REFILL": 1e6}
    captures.write_per_op(path, PARTS, threads=1, prompt=32, n_decode=4, header=header, counts_per_second=rates)
    page = tmp_path / "page.html"
    status, out, _ = command(stalls.main, path, "--html", page)
    assert status == 0 and "EMULATED" in out and "=> gemm takes 87.0 % of the instructions" in out
    assert "EMULATED" in page.read_text()
    for main in (roofline.main, timeline.main):
        status, out, _ = command(main, path, "--plot", tmp_path / "picture.png")
        assert status == 0 and "EMULATED" in out
    measured = write_tokens(tmp_path / "synthetic-measured.csv", 0.02, 0.5)
    assert "WARNING" in command(compare.main, path, measured)[1]


def test_runs_of_one_file_are_judged_one_by_one(tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic.csv"
    run = "# started on {}\n\n1000,,cycles,100,100.00,,\n{},,stall_backend,100,100.00,,\n"
    path.write_text(run.format("Mon", 50) + run.format("Tue", 900))
    status, out, err = command(stalls.main, path)
    assert (status, err) == (0, "")
    assert "note: run 1 of 2: Mon" in out and "note: run 2 of 2: Tue" in out
    assert [f"back-end stalls / cycles {n}.0 %" in out for n in (5, 90)] == [True, True]
    status, _, err = command(stalls.main, path, "--html", tmp_path / "x.html")
    assert status == 1 and "holds 2 runs" in err


def test_what_cannot_be_cut_names_its_file(capture: Path, command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "MOST_SPANS", 1)
    assert command(stalls.main, capture) == (1, "", f"error: {capture}: more than 1 phases\n")
