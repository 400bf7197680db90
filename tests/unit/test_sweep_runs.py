"""Sweeps that run: processes with their end, engines on a tiny model, resuming after kills, models that go away."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_runs import Cli
from models.tiny import write_tiny
from swept import MACHINE, write_plan

from q4engine.errors import Q4Error
from q4engine.sweep import one_run, sweep_worker
from q4engine.sweep.plan_file import Plan, read_plan
from q4engine.sweep.process import run_process
from q4engine.sweep.results import Run, read_results
from q4engine.sweep.sweeping import planned
from q4engine.sweep.type_cache import TypeCache

ENVIRONMENT = dict(os.environ)


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-E", "-c", code]


def in_order(plan: Plan, runs: list[Run]) -> bool:
    """Whether the runs are those of the plan, each once, in its order."""
    return [(run.block, run.combination) for run in runs] == list(planned(plan))


# ---- processes -------------------------------------------------------------------------------------------------------


def test_a_process_that_ends_by_itself(tmp_path: Path) -> None:
    ended = run_process(python("print(input(), end='')"), ENVIRONMENT, 100, b"given\n", folder=tmp_path)
    assert (ended.out, ended.err, ended.reason, ended.is_timeout) == ("given", "", "", False)
    assert ended.seconds > 0


def test_a_process_is_where_it_should_be(tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    code = "import os; print(os.getcwd(), os.sched_getaffinity(0), os.environ['SYNTHETIC'])"
    ended = run_process(python(code), ENVIRONMENT | {"SYNTHETIC": "x"}, 100, cpus=[cpu], folder=tmp_path)
    assert ended.out == f"{tmp_path} {{{cpu}}} x\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import sys; print('one\\ntwo', file=sys.stderr); raise SystemExit(3)", "ended with exit code 3: 'two'"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
    ],
)
def test_why_a_process_is_no_result(code: str, reason: str) -> None:
    assert run_process(python(code), ENVIRONMENT, 100).reason == reason


def test_what_cannot_be_started() -> None:
    assert run_process(["./nowhere"], ENVIRONMENT, 100).reason == (
        "'./nowhere' cannot be started: No such file or directory"
    )


def test_time_that_is_over_ends_what_was_started_too(tmp_path: Path) -> None:
    """A grandchild would otherwise write its file."""
    code = f"import time, pathlib; time.sleep(1); pathlib.Path({str(tmp_path / 'late')!r}).touch()"
    grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-E', '-c', {code!r}])"
    ended = run_process(python(grandchild), ENVIRONMENT, 0.5)
    assert ended.is_timeout and ended.reason == "took more than 0.5 s" and ended.seconds >= 0.5
    time.sleep(1.5)
    assert not (tmp_path / "late").exists()


# ---- the synthetic engine --------------------------------------------------------------------------------------------


def test_a_sweep_of_a_program(q4: Cli, tmp_path: Path) -> None:
    path, log = write_plan(tmp_path, 2, [1, 2], [16, 64])
    plan = read_plan(path)
    dry = q4("sweep", path, "--dry-run")
    assert dry.code == 0 and "4 combinations in 2 blocks: 8 runs, 0 of them made" in dry.out
    shown = re.findall(r"block (\d): synthetic, threads (\d), prompt (\d+)", dry.out)
    assert shown == [(str(block + 1), str(each["threads"]), str(each["prompt"])) for block, each in planned(plan)]
    assert not log.exists() and not (tmp_path / "plan.sqlite").exists()
    done = q4("sweep", path)
    assert (done.code, done.out) == (0, "")
    assert re.search(r"^block 1 of 2: 4 runs.*; .* left\nblock 2 of 2: 4 runs", done.err, re.MULTILINE)
    runs = read_results(tmp_path / "plan.sqlite")
    assert in_order(plan, runs) and len(log.read_text().splitlines()) == 8
    assert {(sample.phase, sample.tokens / run.combination.number("prompt"), sample.seconds)
            for run in runs for sample in run.samples} == {("prefill", 1.0, 0.25)}  # fmt: skip
    assert all(run.machine["cpu"] and run.started and run.conditions for run in runs)
    again = q4("sweep", path)
    assert again.code == 0 and len(log.read_text().splitlines()) == 8 and len(again.err.splitlines()) == 1
    assert "8 of them made" in q4("sweep", path, "--dry-run").out
    path.write_text(path.read_text().replace("repetitions = 2", "repetitions = 4"))
    assert q4("sweep", path).code == 0
    assert in_order(read_plan(path), read_results(tmp_path / "plan.sqlite"))


def test_what_fails_is_kept_and_made_again_if_asked(q4: Cli, tmp_path: Path) -> None:
    path, log = write_plan(tmp_path, 2, [1, 2], [16], seconds="broken")
    done = q4("sweep", path)
    assert done.code == 1 and "4 failed" in done.err and "error: some runs failed" in done.err
    (reason,) = {run.reason for run in read_results(tmp_path / "plan.sqlite")}
    assert reason == "ended with exit code 3: 'synthetic: cannot do that'"
    assert q4("sweep", path).code == 1 and len(log.read_text().splitlines()) == 4
    assert q4("sweep", path, "--repeat", "failed").code == 1 and len(log.read_text().splitlines()) == 8
    assert {run.attempt for run in read_results(tmp_path / "plan.sqlite")} == {1}


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("{ seconds = 'needed ([0-9.]+)' }", "prefill: nothing in the output fits its pattern"),
        ("{ seconds = '(synth)etic: t' }", "prefill: 'synth' is no number"),
        ("{ seconds = 'took (0).25' }", "prefill: 0 cannot be a time"),
    ],
)
def test_times_that_are_not_told(q4: Cli, tmp_path: Path, pattern: str, reason: str) -> None:
    path, _ = write_plan(tmp_path, 1, [1], [16])
    path.write_text(re.sub(r"prefill = .*", f"prefill = {pattern}", path.read_text()))
    assert q4("sweep", path).code == 1
    assert [run.reason for run in read_results(tmp_path / "plan.sqlite")] == [reason]


def test_rates_and_whole_lives(q4: Cli, tmp_path: Path) -> None:
    path, _ = write_plan(tmp_path, 1, [1], [16])
    path.write_text(re.sub(r"prefill = .*", "prefill = { rate = 'rate ([0-9.]+)' }\nwhole = 'wall'", path.read_text()))
    assert q4("sweep", path).code == 0
    (run,) = read_results(tmp_path / "plan.sqlite")
    prefill, whole = run.samples
    assert (prefill.tokens, prefill.seconds) == (16, pytest.approx(16 / 40))
    assert (whole.phase, whole.tokens) == ("whole", 1) and 0 < whole.seconds <= run.seconds


def killed_and_resumed(folder: Path, kills: int, blocks: int) -> None:
    """SIGKILL at random moments, each after some more runs, then to the end."""
    path, log = write_plan(folder, blocks, [1, 2], [16, 64])
    command = [sys.executable, "-m", "q4engine", "sweep", str(path)]
    chance = random.Random(5)
    for _ in range(kills):
        before = log.stat().st_size if log.exists() else 0
        sweep = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while sweep.poll() is None and (log.stat().st_size if log.exists() else 0) == before:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
        sweep.send_signal(signal.SIGKILL)
        sweep.wait()
        if (folder / "plan.sqlite").exists():
            runs = read_results(folder / "plan.sqlite")
            assert [(run.block, run.combination) for run in runs] == list(planned(read_plan(path)))[: len(runs)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert in_order(read_plan(path), read_results(folder / "plan.sqlite"))
    assert 4 * blocks <= len(log.read_text().splitlines()) <= 4 * blocks + kills  # what was cut off was made once more


def test_a_killed_sweep_goes_on(tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, 2, 4)


@pytest.mark.long
def test_a_sweep_killed_twenty_times_goes_on(tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, 20, 12)


def test_a_killed_sweep_leaves_no_run_behind(tmp_path: Path) -> None:
    path, _ = write_plan(tmp_path, 1, [1], [16])
    (tmp_path / "slow.py").write_text(
        "import os, time\nprint(os.getpid(), file=open('pid', 'w'), flush=True)\ntime.sleep(600)\n"
    )
    path.write_text(re.sub(r"command = \[.*", f'command = ["{sys.executable}", "slow.py"]', path.read_text()))
    sweep = subprocess.Popen([sys.executable, "-m", "q4engine", "sweep", str(path)], stderr=subprocess.DEVNULL)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert sweep.poll() is None
        time.sleep(0.01)
    sweep.kill()
    sweep.wait()
    child = int((tmp_path / "pid").read_text())
    for _ in range(6000):
        if not Path(f"/proc/{child}").exists() or ") Z " in Path(f"/proc/{child}/stat").read_text():
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the run lives on")


# ---- engines on a tiny model -----------------------------------------------------------------------------------------


def test_q4engines_own_backends_and_types(q4: Cli, tmp_path: Path) -> None:
    model, out = write_tiny(tmp_path / "tiny.gguf"), tmp_path / "out.sqlite"
    words = ["sweep", model, "--engine", "native,numpy", "--type", "q8_0", "-t", "1", "-p", "8", "-n", "2", "-r", "2"]
    done = q4(*words, "--components", "--samples", "2", "-o", out)
    assert done.code == 0 and "quantising to q8_0" in done.err, done.err
    runs = read_results(out)
    assert len(runs) == 4 and {run.state for run in runs} <= {"done", "noisy"}
    for run in runs:
        told = [(each.phase, each.tokens) for each in run.samples]
        assert sorted(told) == [*2 * [("decode", 2)], ("load", 1), *2 * [("prefill", 8)]]
        native = run.combination["engine"] == "native"
        assert run.components and (run.conditions["migrations"] is not None) is native
        assert run.engine["engine"].startswith("q4engine ") and run.engine["model_size"] > 0
    names = {each.name for run in runs for each in run.components if each.phase == "decode"}
    assert {"attention", "rms_norm", "rope"} <= names
    (made,) = (tmp_path / "out.sqlite.models").iterdir()
    assert made.name.startswith("tiny-q8_0-")


def test_a_build_is_another_interpreter(tmp_path: Path, q4: Cli) -> None:
    write_tiny(tmp_path / "tiny.gguf")
    (tmp_path / "plan.toml").write_text(
        'repetitions = 2\n[axes]\nmodel = ["tiny.gguf"]\nbuild = ["this", "other", "none"]\nprompt = 4\ngenerate = 0\n'
        f'[builds.other]\npython = "{sys.executable}"\n[builds.none]\npython = "./nowhere"\n'
    )
    done = q4("sweep", tmp_path / "plan.toml")
    assert done.code == 1 and "2 failed" in done.err
    runs = read_results(tmp_path / "plan.sqlite")
    assert {(str(run.combination["build"]), bool(run.samples)) for run in runs} == {
        ("this", True),
        ("other", True),
        ("none", False),
    }


def test_llama_cpp_that_is_not_there_is_a_reason(tmp_path: Path, q4: Cli) -> None:
    model = write_tiny(tmp_path / "tiny.gguf")
    words = ["sweep", model, "--engine", "llama.cpp", "-p", "4", "-n", "0", "-r", "2", "-o", tmp_path / "out.sqlite"]
    assert q4(*words, "--vs-python", "/nowhere/python").code == 1
    (reason,) = {run.reason for run in read_results(tmp_path / "out.sqlite")}
    assert "/nowhere/python" in reason and "cannot be started" in reason


def test_a_removed_model_is_one_line_and_the_others_run(q4: Cli, tmp_path: Path) -> None:
    models = [write_tiny(tmp_path / name) for name in ("a.gguf", "b.gguf")]
    words = ["sweep", *models, "-t", "1", "-p", "4", "-n", "0", "-r", "2", "-o", tmp_path / "out.sqlite"]
    models[1].rename(tmp_path / "away")
    done = q4(*words)
    assert done.code == 1 and len(re.findall("^error: ", done.err, re.MULTILINE)) == 1
    assert f"error: {models[1]}: no such file; what needs it is not run" in done.err and "2 not made" in done.err
    assert {run.combination["model"] for run in read_results(tmp_path / "out.sqlite")} == {str(models[0])}
    (tmp_path / "away").rename(models[1])
    assert q4(*words).code == 0 and len(read_results(tmp_path / "out.sqlite")) == 4


def test_a_model_that_goes_while_it_is_measured(tmp_path: Path, q4: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_tiny(tmp_path / "a.gguf")
    usual, made = one_run.make_run, []

    def with_removal(plan: Plan, *others: object) -> Run:
        made.append(others)
        if len(made) == 3:
            model.rename(tmp_path / "away")
        return usual(plan, *others)  # type: ignore[arg-type]

    monkeypatch.setattr("q4engine.sweep.sweeping.make_run", with_removal)
    words = ["sweep", model, "-t", "1", "-p", "4", "-n", "0,1", "-r", "2", "-o", tmp_path / "out.sqlite"]
    done = q4(*words)
    assert done.code == 1 and done.err.count("error: ") == 1 and "2 not made" in done.err
    (tmp_path / "away").rename(model)
    assert q4(*words).code == 0 and len(read_results(tmp_path / "out.sqlite")) == 4


def test_quantised_models_are_made_once(tmp_path: Path) -> None:
    told: list[str] = []
    source, cache = write_tiny(tmp_path / "a.gguf"), TypeCache(tmp_path / "models", told.append)
    assert cache.model(source, "") == source
    first = cache.model(source, "q8_0")
    assert cache.model(source, "q8_0") == first and first.is_file() and told == ["a.gguf: quantising to q8_0"]
    os.utime(source, ns=(1, 1))
    assert cache.model(source, "q8_0") != first
    with pytest.raises(Q4Error, match="nowhere: cannot be read"):
        cache.model(tmp_path / "nowhere", "q8_0")


def test_a_worker_says_what_is_wrong(tmp_path: Path) -> None:
    path = write_plan(tmp_path, 1, [1], [16])[0]
    plan = read_plan(path)
    ended = run_process([sys.executable, "-P", sweep_worker.__file__], ENVIRONMENT, 100, b'{"engine": "none"}')
    assert "error" in ended.out and ended.reason == ""
    run = one_run.make_run(plan, plan.combinations[0], None, 0, 2, MACHINE)
    assert (run.attempt, run.machine, run.state in ("done", "noisy")) == (2, MACHINE, True)


# ---- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("plan.toml", "-t", "1"),
        ("plan.toml", "other.toml"),
        ("plan.toml", "--repeat", "done"),
        ("a.gguf", "--repeat", ""),
        ("a.gguf", "--target", "2"),
        ("a.gguf", "-C", "0x0"),
        ("a.gguf", "--engine", "native,"),
        ("a.gguf", "--format", "csv"),
        ("export", "a.sqlite"),
        ("export", "a.sqlite", "-o", "a.txt"),
        (),
    ],
)
def test_wrong_usage(q4: Cli, words: tuple[str, ...]) -> None:
    done = q4("sweep", *words)
    assert (done.code, done.out) == (2, "") and len(done.err.splitlines()) == 1


def test_a_sweep_of_nothing(q4: Cli, tmp_path: Path) -> None:
    assert (
        q4("sweep", tmp_path / "plan.toml").err
        == f"error: {tmp_path / 'plan.toml'}: cannot be read: No such file or directory\n"
    )
    assert q4("sweep", "a.gguf", "--type", "q9_9").code == 1
    assert (
        q4("sweep", "export", tmp_path / "a", "-o", tmp_path / "a.csv").err
        == f"error: {tmp_path / 'a'}: no such file\n"
    )
