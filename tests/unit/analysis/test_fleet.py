"""`analysis.fleet` end to end: local processes of which one is killed, a cluster, a store of objects, what is wrong."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import s3_server
import synthetic_fleet
from analysis_commands import PNG, Run
from fleet_processes import ended, fleet, opened_for, reader_of, served, started, until
from pages import Page
from synthetic_fleet import BROKEN, Plan, commit_name

import analysis.fleet.command as command_of_fleets
from analysis.errors import AnalysisError
from analysis.fleet import cluster as of_dask
from analysis.fleet import findings
from analysis.fleet.dataset import Dataset
from analysis.fleet.files import Listed
from analysis.fleet.rows import Reading

for _library in ("distributed", "pyarrow", "fsspec", "s3fs"):
    pytest.importorskip(_library, reason="the extra `fleet` is not installed")

PLAN = Plan(calls=7)
PIPED = "piped.csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet of 200 captures, four files that are none, and the dataset of a run in which a worker was killed."""
    folder = tmp_path_factory.mktemp("fleet")
    synthetic_fleet.write(folder / "captures", PLAN)
    synthetic_fleet.write_broken(folder / "captures")
    return folder


@pytest.fixture(scope="module")
def killed(folder: Path) -> tuple[int, str, str]:
    """Status and outputs of a run one of whose workers was killed while it read: it reads a pipe, which has no end."""
    pipe, log = folder / PIPED, folder / "killed.log"
    (whole,) = synthetic_fleet.write(folder / "other", PLAN, 0, 1)
    os.mkfifo(pipe)
    words = (
        "analysis.fleet",
        folder / "captures",
        pipe,
        "--output",
        folder / "set",
        "--workers",
        2,
        "--check",
        "--json",
    )
    with started(*words, log=log) as process:
        writer = opened_for(pipe, process)
        reader = until(lambda: reader_of(pipe, process.pid), "the reader")
        os.kill(reader, signal.SIGKILL)
        os.close(writer)
        until(lambda: reader_of(pipe, process.pid) != reader, "its end")
        with served(pipe, whole.read_bytes(), process):  # another worker begins anew
            found = ended(process, log)
    pipe.unlink()
    return found


def test_a_killed_worker_costs_no_row(folder: Path, killed: tuple[int, str, str]) -> None:
    status, out, err = killed
    document = json.loads(out)
    assert (status, err) == (command_of_fleets.FOUND, "")
    assert (document["captures"], document["read"], document["known"]) == (205, 205, 0)
    frame = Dataset(str(folder / "set")).frame()
    assert frame["path"].nunique() == 205 and (frame["state"] == "judged").sum() == 2 * 201
    assert sum(each["captures"] for each in document["without_result"]) == len(BROKEN)
    piped = frame[frame["path"] == str(folder / PIPED)]
    assert list(piped["verdict"]) == ["compute-bound", "memory-bound"] and set(piped["device"]) == {folder.name}


def test_the_planted_are_found_and_nobody_else(killed: tuple[int, str, str]) -> None:
    document = json.loads(killed[1])
    slower = [each for each in document["devices"] if each["verdict"] == "slower than its twins"]
    assert {each["device"] for each in slower} == {"synthetic-007"} and len(slower) == 2
    assert {each["name"] for twin in slower for each in twin["differs"]} == {"frequency_hz"}
    shown = [each for each in document["commits"] if each["verdict"] == "slower"]
    assert {(each["after"], each["setup"]["phase"]) for each in shown} == {
        (commit_name(3), "prefill"),
        (commit_name(3), "decode"),
    }
    assert [each["verdict"] for each in document["periods"] if each["verdict"] in ("slower", "faster")] == []


def test_only_what_is_new_is_read(folder: Path, killed: tuple[int, str, str]) -> None:
    """Of a capture that is known the content is no longer looked at; one that has changed is read again."""
    first, second, *_ = sorted((folder / "captures").rglob("synthetic-*.csv"))
    stat, length = first.stat(), len(first.read_bytes())
    first.write_bytes(b"x" * length)
    os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second.write_text(second.read_text().replace("n_threads: 4", "n_threads: 8"))
    later = Plan(calls=7, captures=202)
    (new, _) = synthetic_fleet.write(folder / "captures", later, 200, 202)
    status, document, err = fleet(f"{folder}/captures/**/*.csv", "--output", folder / "set", folder=folder)
    assert status == 0 and err == "note: 203 of 206 captures were summarised before\n"
    assert (document["captures"], document["read"], document["known"]) == (206, 3, 203)
    frame = Dataset(str(folder / "set")).frame()
    assert set(frame.loc[frame["path"] == str(first), "verdict"]) == {"compute-bound", "memory-bound"}
    assert set(frame.loc[frame["path"] == str(second), "threads"]) == {8.0} and str(new) in set(frame["path"])


def test_text_page_and_picture(folder: Path, killed: object, command: Run, tmp_path: Path) -> None:
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    words = ("--output", folder / "set", "--html", page, "--plot", picture, "--group-by", "device,phase")
    status, out, err = command(command_of_fleets.main, *words)
    assert (status, err) == (0, "") and picture.read_bytes().startswith(PNG)
    assert "slower than its twins: clock 1.60 GHz, twins 2.00 GHz" in out
    assert f"slower than {commit_name(2)}" in out and "is empty" in out and "1 of 2" in out
    found = Page(page.read_text())
    assert found.links == ["data:,"] and "filtered" in found.classes
    assert any("synthetic-019" in row for table in found.tables for row in table)


def address_in(scheduler_file: Path) -> str:
    """Empty until the scheduler has written all of the file, which is there before its content."""
    try:
        return str(json.loads(scheduler_file.read_text())["address"])
    except (FileNotFoundError, json.JSONDecodeError):
        return ""


def test_a_cluster_and_a_store_of_objects(tmp_path: Path) -> None:
    """A scheduler and a worker as one starts them, which read from the store and know no disk of ours."""
    paths = synthetic_fleet.write(tmp_path / "captures", Plan(devices=2, captures=9, calls=3))
    objects = {f"bucket/captures/{path.parent.name}/{path.name}": path.read_bytes() for path in paths}
    names, told = set(objects), tmp_path / "scheduler.json"
    with s3_server.serving(objects) as server:
        here = {"environment": server.environment}
        scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard")
        worker = ("distributed.cli.dask_worker", "--nthreads", 1, "--no-nanny", "--no-dashboard")
        file = ("--scheduler-file", told)
        with (
            started(*scheduler, *file, log=tmp_path / "scheduler.log", **here),
            started(*worker, *file, "--local-directory", tmp_path, log=tmp_path / "worker.log", **here),
        ):
            address = until(lambda: address_in(told), "the scheduler's file")
            words = ("s3://bucket/captures/", "--output", "s3://bucket/set", "--scheduler", address)
            status, document, err = fleet(*words, folder=tmp_path, **here)
        assert (status, err) == (0, "") and (document["captures"], document["read"]) == (9, 9)
        assert sorted(name for name in server.read if name.endswith(".csv")) == sorted(names)
        assert any(name.startswith("bucket/set/month=2026-03/part-") for name in objects)
        server.read.clear()
        objects["bucket/captures/more.csv"] = paths[0].read_bytes()
        words = ("s3://bucket/captures/**/*.csv", "--output", "s3://bucket/set", "--workers", 0)
        status, document, err = fleet(*words, folder=tmp_path, **here)
        assert status == 0 and err == "note: 9 of 10 captures were summarised before\n"
        assert [name for name in server.read if name.endswith(".csv")] == ["bucket/captures/more.csv"]
        assert {each["device"] for each in document["devices"]} <= {"synthetic-000", "synthetic-001", "captures"}
        status, _, err = fleet("s3://nowhere/captures/", folder=tmp_path, **here)
        assert status == 1 and err.startswith("error: s3://nowhere/captures/: ") and len(err.splitlines()) == 1


def test_a_scheduler_that_is_not_there_is_one_line(folder: Path, tmp_path: Path) -> None:
    words = (folder / "captures", "--scheduler", "tcp://127.0.0.1:9")
    status, _, err = fleet(*words, folder=tmp_path)
    assert (
        status == 1 and err.startswith("error: tcp://127.0.0.1:9: no Dask scheduler: ") and len(err.splitlines()) == 1
    )


class Cluster:
    """What `_check` asks a client."""

    def __init__(self, packages: dict[str, str], python: str = "3.11.2.final.0", release: object = None) -> None:
        whole = {"host": {"python": "3.11.2.final.0"}, "packages": {"distributed": "1.0", "pandas": "3.0"}}
        theirs = {"host": {"python": python}, "packages": packages}
        self.versions = {"client": whole, "scheduler": whole, "workers": {"tcp://w:1": theirs}}
        self.release = of_dask._release() if release is None else release

    def wait_for_workers(self, n: int, timeout: float) -> None:
        pass

    def get_versions(self) -> Any:
        return self.versions

    def run(self, asked: object, on_error: str) -> Any:
        return {"tcp://w:1": self.release}


def test_versions_that_differ_are_one_line() -> None:
    of_dask._check(Cluster({"distributed": "1.0", "pandas": "3.0", "other": "7"}), "tcp://s:1")
    for cluster, message in (
        (Cluster({"distributed": "2.0"}), "tcp://w:1 has distributed 2.0, this process 1.0"),
        (Cluster({}, python="3.12.1.final.0"), "tcp://w:1 has python 3.12, this process 3.11"),
        (Cluster({}, release=ModuleNotFoundError("analysis")), "tcp://w:1 has q4engine none, this process"),
    ):
        with pytest.raises(AnalysisError, match=f"tcp://s:1: {message}"):
            of_dask._check(cluster, "tcp://s:1")


def test_tasks_are_neither_few_nor_large() -> None:
    def sizes(n: int, size: int, threads: int) -> list[int]:
        return [len(batch) for batch in of_dask.batches([Listed(f"/{i}", "", size) for i in range(n)], threads)]

    assert sizes(20_000, 100_000, 2) == [32] * 625
    assert sizes(20, 100_000, 2) == [2] * 10 and sizes(3, 1, 8) == [1, 1, 1] and sizes(0, 1, 2) == []
    assert sizes(4, 100 << 20, 1) == [1] * 4 and sum(sizes(100, 5 << 20, 1)) == 100


def test_what_ends_its_workers_is_a_row() -> None:
    one = Listed("/a.csv", "tag", 1)
    killed = type("KilledWorker", (Exception,), {})()
    for error, reason in (
        (killed, "the process that read it was ended"),
        (ValueError("x"), "cannot be read: ValueError"),
    ):
        row = of_dask._ended(one, Reading(), error)
        assert row["state"] == "unreadable" and str(row["reason"]).startswith(reason) and row["mark"] == "tag"


def test_mistakes_are_one_line(folder: Path, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    for status, words, message in (
        (2, (), "name captures, or the dataset"),
        (2, ("--output", ""), "is no folder for a dataset"),
        (2, (folder, "--scheduler", "here"), "is no address of a scheduler"),
        (2, (folder, "--workers", "-1"), "is no number from 0 to 999"),
        (2, (folder, "--group-by", "colour"), "'colour' is no column to group by"),
        (2, (folder, "--device", "a b"), "is no key of a capture's header"),
        (1, (tmp_path / "nowhere.csv",), "no such file"),
        (1, (tmp_path / "empty",), "no captures (*.csv, *.json, *.txt) there"),
        (1, ("--output", tmp_path / "set"), "no captures are in the dataset"),
        (1, (folder, "--output", folder), "is no dataset of this command, and not empty"),
        (1, ("--output", folder / "set", "--html", tmp_path / "a", "--plot", tmp_path / "a"), "give another"),
    ):
        code, out, err = command(command_of_fleets.main, *words)
        assert (code, out, len(err.splitlines())) == (status, "", 1) and message in err, words
    monkeypatch.setattr(command_of_fleets, "find_spec", lambda name: None if name in ("dask", "pyarrow") else name)
    code, _, err = command(command_of_fleets.main, folder)
    assert code == 1
    assert err == "error: dask and pyarrow missing, which a fleet needs: pip install 'q4engine[fleet]'\n"


def test_groups_by_any_column() -> None:
    frame = synthetic_fleet.rows(Plan(devices=4, captures=40, slow=None, regression=None))
    frame.loc[:9, "verdict"] = "memory-bound"
    found = findings.of_frame(frame, ("device", "threads")).groups
    assert [(group.values, group.captures, group.devices) for group in found] == [
        ((f"synthetic-00{n}", "4"), 10, 1) for n in range(4)
    ]
    assert found[0].speeds[2] == pytest.approx(50, rel=0.05) and list(found[0].speeds) == sorted(found[0].speeds)
    assert found[0].ratios["be"] == pytest.approx(0.6) and "3 memory-bound" in found[0].told
