"""Sweeps on other machines: what a plan says of them, what travels, and what a machine that goes away costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from cli_runs import Cli
from devices import adb_stand_in, bundle, wait_for_lines, write_machines_plan
from models.tiny import write_tiny

from q4engine.errors import Q4Error
from q4engine.sweep import plan_tables
from q4engine.sweep.all_machines import parts
from q4engine.sweep.combination import Combination
from q4engine.sweep.device_agent import answer
from q4engine.sweep.link import Link, MachineGone
from q4engine.sweep.other_machines import Machine, machines_of
from q4engine.sweep.plan_file import plan_of
from q4engine.sweep.remote import Remote
from q4engine.sweep.results import Sample, read_results

HOW = {"python": "python3"}


def machine(**given: Any) -> Machine:
    return machines_of({"board": {**HOW, **given}}, Path("/plans"))["board"]


# ---- plans -----------------------------------------------------------------------------------------------------------


def test_addresses() -> None:
    board = machine(address="ssh://ann@board.local:2222", options=["-i", "key"])
    assert (board.kind, board.user, board.host, board.port) == ("ssh", "ann", "board.local", 2222)
    words = Link(board).command("echo 'a b'")
    assert words[:4] == ["ssh", "-T", "-i", "key"] and words[-6:-1] == ["-p", "2222", "-l", "ann", "board.local"]
    assert machine(address="ssh://[fe80::1%eth0]").host == "fe80::1%eth0"
    phone = machines_of({"phone": {"address": "adb://R5CT:5555", "bundle": "b.tar.gz"}}, Path("/plans"))["phone"]
    assert (phone.kind, phone.host, phone.bundle) == ("adb", "R5CT:5555", Path("/plans/b.tar.gz"))
    assert Link(phone).command("true") == ["adb", "-s", "R5CT:5555", "shell", "-T", "true"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "machines.board.address: found 'None', expected a text"),
        ({"address": "board"}, "address: found 'board', expected ssh://[user@]host[:port] or adb://serial"),
        ({"address": "ssh://-oProxyCommand=x"}, "expected ssh://"),
        ({"address": "ssh://-x@host"}, "expected ssh://"),
        ({"address": "ssh://host:70000"}, "expected ssh://"),
        ({"address": "ssh://host", "bundle": "b"}, "give bundle (of make bundle) or python"),
        ({"address": "adb://x", "options": ["-v"]}, "options are ssh's"),
        ({"address": "ssh://x", "options": "-v"}, "options is a list of words"),
        ({"address": "ssh://x", "folder": "$(reboot)"}, "without quotes, dollars"),
        ({"address": "ssh://x", "folder": "-rf"}, "without quotes, dollars"),
        ({"address": "ssh://x", "pyton": "x"}, "[machines.board]: there is no 'pyton'"),
    ],
)
def test_what_is_wrong_with_a_machine_is_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(Q4Error) as error:
        machine(**given)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_tables_are_checked_first() -> None:
    for given in ({"a": []}, {"a": {"environment": {"=": "x"}}}, {"a": {"environment": []}}):
        with pytest.raises(Q4Error, match="a"):
            plan_tables.variables_of(plan_tables.of_table(given["a"], "a"), "a")
    assert plan_tables.variables_of({"environment": {"b": "1", "a": "2"}}, "a") == (("a", "2"), ("b", "1"))


def test_names_of_machines() -> None:
    for name in ("here", "a b", ""):
        with pytest.raises(Q4Error, match="is no name for another machine"):
            machines_of({name: {}}, Path())
    with pytest.raises(Q4Error, match=r"machine: there is no 'board', expected here, or a table \[machines\.board\]"):
        plan_of({"axes": {"model": "a", "machine": "board"}}, "synthetic", Path())


def test_machines_are_an_axis_and_builds_stay_here() -> None:
    table = {"machines": {"board": {"address": "ssh://board", **HOW}}, "builds": {"O3": {"python": "x"}}}
    axes = {"model": "a.gguf", "machine": ["here", "board"], "build": ["this", "O3"], "prompt": [1, 2]}
    plan = plan_of({**table, "axes": axes}, "synthetic", Path())
    assert {name: len(part.combinations) for name, part in parts(plan).items()} == {"here": 4, "board": 2}
    assert dict(plan.skipped) == {"machine != 'here' and build != 'this'": 2}
    assert plan.settings()["machines"] == {"board": ["ssh", "board"]}


def test_a_combination_of_this_machine_has_the_hash_that_it_always_had() -> None:
    known = {"engine": "native", "threads": 2}
    here, other = (Combination.of({**known, "machine": name}) for name in ("here", "board"))
    assert here.hash == Combination.of(known).hash != other.hash
    assert "machine" not in str(here) and str(other) == "native, threads 2, machine board"


# ---- by adb's protocol, with a stand-in ------------------------------------------------------------------------------


@pytest.fixture
def adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return adb_stand_in(tmp_path, monkeypatch)


def table(folder: Path, how: str = f"python = {sys.executable!r}") -> str:
    return f"address = 'adb://stand-in'\nfolder = '{folder}'\n{how}"


def test_the_bundle_and_a_model_travel_once(adb: Path, tmp_path: Path, q4: Cli) -> None:
    write_tiny(tmp_path / "tiny.gguf")
    packed = bundle(tmp_path / "bundle.tar.gz")
    path = tmp_path / "plan.toml"
    path.write_text(
        "repetitions = 2\n[axes]\nmodel = 'tiny.gguf'\nmachine = ['phone']\nthreads = 1\nprompt = 4\ngenerate = 0\n"
        f"[machines.phone]\n{table(tmp_path / 'device', f'bundle = {str(packed)!r}')}\n"
    )
    done = q4("sweep", path)
    assert done.code == 0, done.err
    assert "phone: sending bundle.tar.gz" in done.err and "phone: tiny.gguf sent" in done.err
    runs = read_results(tmp_path / "plan.sqlite")
    assert [run.combination["machine"] for run in runs] == ["phone", "phone"] and all(run.samples for run in runs)
    assert all(run.machine["cpu"] and run.engine["model_size"] for run in runs)
    (unpacked,) = (tmp_path / "device").glob("bundle-*")
    assert sorted(each.name for each in unpacked.iterdir()) == ["stand-in", "whole"]
    path.write_text(path.read_text().replace("repetitions = 2", "repetitions = 4"))
    done = q4("sweep", path)
    assert done.code == 0 and "sen" not in done.err and len(read_results(tmp_path / "plan.sqlite")) == 4
    assert (adb / "calls").read_text().count("push") == 2


def test_machines_work_beside_each_other_and_each_has_its_order(adb: Path, tmp_path: Path, q4: Cli) -> None:
    path = write_machines_plan(tmp_path, {"here": "", "phone": table(tmp_path / "device")}, 2)
    done = q4("sweep", path)
    assert done.code == 0 and "phone: block 2 of 2: 2 runs" in done.err, done.err
    runs = read_results(tmp_path / "plan.sqlite")
    assert len(runs) == 8 and {run.state for run in runs} <= {"done", "noisy"}
    for name in ("here", "phone"):
        mine = [(run.block, run.combination["prompt"]) for run in runs if run.combination["machine"] == name]
        assert mine in ([(0, 1), (0, 2), (1, 2), (1, 1)], [(0, 2), (0, 1), (1, 1), (1, 2)])


def test_a_device_that_is_not_there(adb: Path, tmp_path: Path, q4: Cli) -> None:
    (adb / "gone").touch()
    path = write_machines_plan(tmp_path, {"here": "", "phone": table(tmp_path / "device")}, 2)
    done = q4("sweep", path)
    assert done.code == 1 and "4 not made" in done.err
    assert "error: phone: does not answer: \"error: device 'stand-in' not found\"; its unfinished runs" in done.err
    assert {run.combination["machine"] for run in read_results(tmp_path / "plan.sqlite")} == {"here"}
    (adb / "gone").unlink()
    assert q4("sweep", path).code == 0 and len(read_results(tmp_path / "plan.sqlite")) == 8


def test_a_device_that_goes_away_costs_its_unfinished_runs_alone(adb: Path, tmp_path: Path, q4: Cli) -> None:
    device = tmp_path / "device"
    path = write_machines_plan(tmp_path, {"here": "", "phone": table(device)}, 3)
    device.mkdir()
    (device / "stop").write_text("3")

    def end() -> None:
        subprocess.run(["kill", "-9", wait_for_lines(device / "pids", 3)[0]], check=True)

    killer = threading.Thread(target=end)
    killer.start()
    done = q4("sweep", path)
    killer.join()
    assert done.code == 1 and done.err.count("error: phone: went away") == 1, done.err
    runs = read_results(tmp_path / "plan.sqlite")
    by_machine = [run.combination["machine"] for run in runs]
    assert by_machine.count("here") == 6 and by_machine.count("phone") == 2
    (device / "stop").unlink()
    assert q4("sweep", path).code == 0
    again = read_results(tmp_path / "plan.sqlite")
    assert again[: len(runs)] == runs and len(again) == 12


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"agent": 1, "q4engine": "0.0.0"}, "has q4engine '0.0.0', expected"),
        ({"agent": 99}, "has q4engine 'None', expected"),
    ],
)
def test_another_version_there_is_one_line(adb: Path, tmp_path: Path, said: dict[str, Any], message: str) -> None:
    other = tmp_path / "python"
    other.write_text(f"#!/bin/sh\necho welcome\necho '{json.dumps(said)}'\n")
    other.chmod(0o755)
    phone = machines_of(
        {"phone": {"address": "adb://stand-in", "folder": str(tmp_path), "python": str(other)}}, tmp_path
    )
    with Remote(phone["phone"], print) as remote, pytest.raises(Q4Error, match=message):
        remote.start()


def test_what_arrives_damaged_or_fails_there(adb: Path, tmp_path: Path) -> None:
    phone = machines_of({"phone": {"address": "adb://stand-in", "python": "x"}}, tmp_path)["phone"]
    link = Link(phone)
    with pytest.raises(Q4Error, match="a command there ended with exit code 3: 'no'"):
        link.say("echo no >&2; exit 3")
    with pytest.raises(MachineGone, match="did not answer within 0 s"):
        link.say("sleep 60", 0.2)
    source = tmp_path / "file"
    source.write_text("content")
    assert link.send(source, f"{tmp_path}/there/file") and not link.send(source, f"{tmp_path}/there/file")
    adb_script = (adb / "adb").read_text().replace("shutil.copyfile(*words)", "Path(words[1]).write_text('other')")
    (adb / "adb").write_text(adb_script)
    with pytest.raises(Q4Error, match="file: it did not arrive whole"):
        link.send(source, f"{tmp_path}/there/again")
    assert [each.name for each in (tmp_path / "there").iterdir()] == ["file"]  # nothing of it takes room there


def test_two_sweeps_bring_the_same_at_once(adb: Path, tmp_path: Path) -> None:
    """Each under a name of its own until it is whole."""
    packed, device = bundle(tmp_path / "bundle.tar.gz"), tmp_path / "device"
    phone = machines_of({"phone": {"address": "adb://stand-in", "folder": str(device), "python": "x"}}, tmp_path)[
        "phone"
    ]
    found: list[str] = []

    def bring() -> None:
        with Remote(phone, lambda _: None) as remote:
            remote.send_model(tmp_path / "model")
            found.append(remote._send_bundle(packed))

    (tmp_path / "model").write_bytes(bytes(100_000))
    threads = [threading.Thread(target=bring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
    assert sorted(each.name for each in Path(found[0]).iterdir()) == ["stand-in", "whole"]
    assert [each for each in device.rglob("*") if ".part-" in each.name] == []


def test_what_was_left_half_sent_goes_after_a_day(adb: Path, tmp_path: Path) -> None:
    link = Link(machines_of({"phone": {"address": "adb://stand-in", "python": "x"}}, tmp_path)["phone"])
    (tmp_path / "there").mkdir()
    for name in ("old.part-0123abcd", "new.part-0123abcd", "old"):
        (tmp_path / "there" / name).touch()
    for name in ("old.part-0123abcd", "old"):
        os.utime(tmp_path / "there" / name, (0, 0))
    (tmp_path / "file").write_text("content")
    assert link.send(tmp_path / "file", f"{tmp_path}/there/file")
    assert sorted(each.name for each in (tmp_path / "there").iterdir()) == ["file", "new.part-0123abcd", "old"]


def test_a_run_that_cannot_be_made_there_is_an_answer(tmp_path: Path) -> None:
    said = answer({"plan": {"axes": {}}, "model": "", "block": 0, "attempt": 0}, tmp_path)
    assert "give model" in said["error"]


RUN = {"state": "done", "reason": "", "started": "now", "seconds": 1.0, "components": [], "engine": {},
       "conditions": {}, "samples": [["prefill", 4, 0.5]], "tokens": [[4, 0.25]]}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "well"}, {"seconds": "soon"}, {"seconds": float("nan")}, {"samples": [["prefill", 4, 0.0]]},
        {"samples": [["prefill", 1 << 70, 0.5]]}, {"samples": [["prefill", 4]]}, {"engine": 3},
        {"tokens": [[4, 0.25], [4, 0.25]]}, {"tokens": [[-1, 0.25]]}, {"samples": None},
        {"components": [["prefill", 1, 0.1, "gemm"], ["prefill", 1, 0.1, "gemm"]]},
    ],
)  # fmt: skip
def test_what_a_machine_says_is_not_believed(wrong: dict[str, Any], adb: Path, tmp_path: Path) -> None:
    """What could not be kept, or not be read again, is no run."""
    phone = machines_of({"phone": {"address": "adb://stand-in", "python": "x"}}, tmp_path)["phone"]
    plan = plan_of({"axes": {"model": "a.gguf"}}, "synthetic", tmp_path)
    with Remote(phone, print) as remote:
        remote._ask = lambda _: None  # type: ignore[method-assign]
        remote._answer = lambda _: RUN  # type: ignore[method-assign]
        kept = remote.make(plan, plan.combinations[0], None, 0, 0, None)
        assert kept.samples == [Sample("prefill", 4, 0.5)] and kept.tokens == [(4, 0.25)]
        remote._answer = lambda _: {**RUN, **wrong}  # type: ignore[method-assign]
        with pytest.raises(Q4Error, match="expected a run"):
            remote.make(plan, plan.combinations[0], None, 0, 0, None)
