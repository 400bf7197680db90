"""Sweeps over real ssh: an sshd on this machine, and three hosts in network namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from devices import bundle, sshd, wait_for_lines, write_machines_plan
from models.tiny import write_tiny

from q4engine.sweep.results import read_results

PYTHON = f"python = {sys.executable!r}"


def sweep(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "q4engine", "sweep", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_model_is_measured_over_ssh(tmp_path: Path) -> None:
    write_tiny(tmp_path / "tiny.gguf")
    packed = bundle(tmp_path / "bundle.tar.gz")
    with sshd(tmp_path / "sshd") as host:
        path = tmp_path / "plan.toml"
        path.write_text(
            "repetitions = 1\n[axes]\nmodel = 'tiny.gguf'\ntype = 'q8_0'\nmachine = 'board'\nthreads = 1\n"
            "prompt = 4\ngenerate = 1\n"
            f"[machines.board]\n{host.table(tmp_path / 'board', f'bundle = {str(packed)!r}')}\n"
        )
        done = sweep(path)
    assert done.returncode == 0, done.stderr
    runs = read_results(tmp_path / "plan.sqlite")
    assert len(runs) == 1 and {run.combination["machine"] for run in runs} == {"board"}
    assert all({each.phase for each in run.samples} == {"load", "prefill", "decode"} for run in runs)
    assert len(list((tmp_path / "board" / "models").iterdir())) == 1
    done = sweep(path)  # nobody answers, but nothing is left to do
    assert done.returncode == 0 and "error" not in done.stderr


def test_a_stranger_is_not_let_in_and_it_is_one_line(tmp_path: Path) -> None:
    with sshd(tmp_path / "sshd") as host:
        table = host.table(tmp_path / "board", PYTHON).replace("sshd/key", "sshd/host_key")
        path = write_machines_plan(tmp_path, {"here": "", "board": table}, 2)
        done = sweep(path)
    assert done.returncode == 1 and len([line for line in done.stderr.splitlines() if "error" in line]) == 1
    assert "error: board: does not answer" in done.stderr and "Permission denied" in done.stderr
    assert len(read_results(tmp_path / "plan.sqlite")) == 4


# ---- hosts in namespaces ---------------------------------------------------------------------------------------------


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[list[tuple[str, str]]]:
    """Three network namespaces with an address each, as (name, address)."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root, and iproute2's `ip`")
    found = [(f"q4-{os.getpid() % 10000}-{number}", f"10.213.{number}.2") for number in range(3)]
    try:
        for number, (name, address) in enumerate(found):
            try:
                ip("netns", "add", name)
                ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"no network namespaces here: {error}")
            ip("addr", "add", f"10.213.{number}.1/24", "dev", f"{name}a")
            ip("link", "set", f"{name}a", "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"{name}b")
            ip("-n", name, "link", "set", f"{name}b", "up")
        yield found
    finally:
        for name, _ in found:
            # whose cable was pulled has not heard that the sweep is over
            left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
            subprocess.run(["kill", "-9", *left], capture_output=True)
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@pytest.mark.long
def test_of_three_hosts_one_dies_and_one_is_slow(hosts: list[tuple[str, str]], tmp_path: Path) -> None:
    """Its cable is pulled: nobody says that it is gone. The rest is complete."""
    names = ("quick", "slow", "dying")
    folders = {name: tmp_path / name for name in names}
    for folder in folders.values():
        folder.mkdir()
    (folders["slow"] / "delay").write_text("0.5")
    (folders["dying"] / "stop").write_text("5")
    with ExitStack() as stack:
        tables = {}
        for name, (space, address) in zip(names, hosts, strict=True):
            host = stack.enter_context(sshd(tmp_path / f"sshd-{name}", address, ["ip", "netns", "exec", space]))
            tables[name] = host.table(folders[name], PYTHON)

        def pull() -> None:
            wait_for_lines(folders["dying"] / "pids", 5)
            ip("link", "set", f"{hosts[2][0]}a", "down")

        cable = threading.Thread(target=pull)
        cable.start()
        path = write_machines_plan(tmp_path, tables, 10)
        done = sweep(path)
        cable.join()
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("error: dying: ") == 1 and "its unfinished runs are not made" in done.stderr
    counts = dict.fromkeys(names, 0)
    for run in read_results(tmp_path / "plan.sqlite"):
        assert run.state in ("done", "noisy")
        counts[str(run.combination["machine"])] += 1
    assert counts == {"quick": 20, "slow": 20, "dying": 4} and "16 not made" in done.stderr
