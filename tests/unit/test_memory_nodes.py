"""Memory nodes as sysfs tells of them, and what --numa and --prio make of them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from q4engine.cli import placing
from q4engine.cli.placing import place
from q4engine.memory_nodes import by_turns, current_cpu, memory_nodes, node_of


def tree(folder: Path, *lists: str) -> Path:
    for number, cpus in enumerate(lists):
        (folder / f"node{number}").mkdir(parents=True)
        (folder / f"node{number}" / "cpulist").write_text(cpus + "\n")
    return folder


def test_nodes_have_the_cpus_that_may_be_used(tmp_path: Path) -> None:
    nodes = tree(tmp_path / "a", "0-3,8-9", "4-7", "")
    assert memory_nodes(range(16), nodes) == [[0, 1, 2, 3, 8, 9], [4, 5, 6, 7]]
    assert memory_nodes([2, 5, 12], nodes) == [[2], [5]]
    many = tree(tmp_path / "b", *map(str, range(11)))
    assert memory_nodes(range(11), many) == [[cpu] for cpu in range(11)]  # node10 is the last
    for broken in (tmp_path / "none", tree(tmp_path / "c", "x")):
        assert memory_nodes([1, 0], broken) == [[0, 1]]
    assert [cpu for cpus in memory_nodes() for cpu in cpus] != []


def test_cpus_by_turns_and_nodes_of_cpus() -> None:
    assert by_turns([[0, 1, 2], [8, 9]]) == [0, 8, 1, 9, 2]
    assert node_of(9, [[0, 1], [8, 9]]) == [8, 9] and node_of(5, [[0, 1], [8, 9]]) == [0, 1]


def test_the_cpu_of_a_process(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("12 (a ) b) S " + " ".join(["0"] * 35) + " 17 0\n")
    assert current_cpu(stat) == 17
    assert current_cpu() < (os.cpu_count() or 1)


def args(**changes: object) -> argparse.Namespace:
    usual = {
        "numa": None,
        "prio": 0,
        "cpu_mask": None,
        "threads": None,
        "threads_batch": None,
        "parser": argparse.ArgumentParser(),
    }
    return argparse.Namespace(**usual | changes)


def test_threads_are_placed_by_nodes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(placing.memory_nodes, "memory_nodes", lambda: [[0, 1], [2, 3]])
    monkeypatch.setattr(placing.memory_nodes, "current_cpu", lambda: 3)
    set_to: list[object] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: set_to.append(cpus))
    for given, mask in ((3, [0, 2, 1]), ([1, 2], [0, 2, 1, 3])):
        place(asked := args(numa="distribute", threads=given))
        assert asked.cpu_mask == mask and asked.numa is None
    place(asked := args(numa="isolate"))
    place(asked)
    assert set_to == [[2, 3]] and asked.cpu_mask is None
    place(asked := args(numa="numactl"))
    assert asked.cpu_mask is None and capsys.readouterr().err == ""
    with pytest.raises(SystemExit):
        place(args(numa="isolate", cpu_mask=[0]))
    monkeypatch.setattr(placing.memory_nodes, "memory_nodes", lambda: [[0, 1]])
    place(args(numa="distribute"))
    assert "--numa changes nothing: the CPUs that may be used are of one memory node" in capsys.readouterr().err
    assert len(set_to) == 1


def test_priorities(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "setpriority", lambda which, who, niceness: asked.append(niceness))
    for priority in (-1, 0, 1, 2, 3):
        place(args(prio=priority))
    assert asked == [5, -5, -10, -20]

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refused)
    place(args(prio=2))
    assert capsys.readouterr().err == (
        "note: --prio 2 (niceness -10) is not allowed here: Permission denied; root, CAP_SYS_NICE or a limit "
        "(ulimit -e) allow it\n"
    )
