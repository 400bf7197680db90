"""q4engine watch on a stand-in of llama.cpp's libraries: what it captures, and that the program notices nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import synthetic_llama
from annotate_daemon import Daemon, private_endpoints
from watch_commands import SECONDS, command

from analysis.address_map import read_map
from q4engine.watch import live, program, taken
from q4engine.watch.addresses import apart
from q4engine.watch.nodes import Place
from q4engine.watch.outputs import contexts, numbered, phase_of
from q4engine.watch.records import read

pytestmark = pytest.mark.skipif(synthetic_llama.compiler() is None, reason="no C compiler for the stand-in")


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_llama.build(tmp_path_factory.mktemp("synthetic-llama"))


def watched(stand_in: Path, how: str, threads: int, *options: object) -> subprocess.CompletedProcess[str]:
    words = [*command(*options), "--", str(stand_in), str(stand_in.parent), str(threads), how]
    return subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)


def rows(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, comment="#", keep_default_na=False, dtype=str)


def calls(path: Path) -> list[tuple[int, int]]:
    whole = rows(path)
    whole = whole[whole["op"] == ""]
    return list(zip(whole["n_past"].astype(int), whole["n_eval"].astype(int), strict=True))


CALLS = [(0, 5), (5, 3), (8, 1), (9, 2)]  # as PROGRAM makes them, whose third batch leaves its position to the library


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_and_operations(stand_in: Path, tmp_path: Path, threads: int) -> None:
    capture, markers, trace = tmp_path / "run.csv", tmp_path / "markers.csv", tmp_path / "run.json"
    result = watched(
        stand_in, "shift", threads, "--capture", capture, "--per-op", "--markers", markers, "--trace", trace
    )
    assert (result.returncode, result.stdout, result.stderr) == (7, "text of the program\n", "")
    assert calls(capture) == CALLS
    table = rows(capture)
    assert table["sequences"][table["op"] == ""].tolist() == ["1", "1", "1", "2"]
    assert [line.split(",")[1:3] for line in markers.read_text().splitlines()[1:]] == [
        *[[str(past), str(n)] for past, n in CALLS],
        ["11", "0"],
    ]
    assert trace.stat().st_size > 1000
    assert "\n# other_graphs: 1 that" in capture.read_text()
    for _, of_call in table[table["op"] != ""].groupby("call"):
        assert sorted(of_call["thread"].unique()) == [str(i) for i in range(threads)]
        for _, of_thread in of_call.groupby("thread"):
            work = of_thread[~of_thread["op"].isin(["begin", "end", "barrier"])]
            # nine nodes: a view is skipped, norm and multiplication are one
            kinds = work["op"].replace("gemv", "gemm").tolist()
            assert kinds == ["embedding", "rms_norm", "gemm", "rope", "kv_store", "attention", "gemm"]
            assert ("barrier" in of_thread["op"].tolist()) == (threads > 1)


def test_rows_of_a_call_have_no_gap(stand_in: Path, tmp_path: Path) -> None:
    capture = tmp_path / "run.csv"
    watched(stand_in, "plain", 2, "--capture", capture, "--per-op")
    table = rows(capture)
    times = table[["start_ns", "duration_ns"]].astype(int)
    for call, of_call in table.groupby("call"):
        whole = times[(table["call"] == call) & (table["op"] == "")].iloc[0]
        for _, of_thread in of_call[of_call["op"] != ""].groupby("thread"):
            at = int(whole["start_ns"])
            for _, row in times.loc[of_thread.index].iterrows():
                assert row["start_ns"] == at
                at += int(row["duration_ns"])
            assert at == whole["start_ns"] + whole["duration_ns"]


def test_what_an_operation_is(stand_in: Path, tmp_path: Path) -> None:
    """Names, types and sizes, of tensors whose layout nobody knows but their library."""
    capture = tmp_path / "run.csv"
    watched(stand_in, "plain", 1, "--capture", capture, "--per-op")
    table = rows(capture)
    found = {row["node"]: row for _, row in table[(table["call"] == "0") & (table["node"] != "")].iterrows()}
    assert "Qcur-0 (view)" not in found
    fields = ["op", "layer", "tensor", "type", "shape", "weight_bytes", "n_eval"]
    norm, last, table_row = found["attn_norm-0"], found["result_output"], found["embd"]
    assert norm[fields].tolist() == ["rms_norm", "0", "blk.0.attn_norm", "F32", "", "256", "5"]
    assert last[fields].tolist() == ["gemm", "", "token_embd", "Q4_0", "320x64", "11520", "5"]
    assert table_row[fields].tolist() == ["embedding", "", "token_embd", "Q4_0", "320x64", "180", "5"]
    assert last["operands"] == "F32[320x5] <- Q4_0[64x320] F32[256x5x3]"
    header = capture.read_text()
    # a token: a row of the table, the norm, both products; a position: 32 columns in F16
    assert f"\n# bytes_per_token: {36 + 256 + 3456 + 11520}\n" in header
    assert "\n# kv_bytes_per_token: 64\n" in header
    assert "\n# engine_version: synthetic\n" in header


def header_of(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line.startswith("# ")]
    return dict(line[2:].split(": ", 1) for line in lines if ": " in line)


def test_the_read_peak_on_as_many_threads(stand_in: Path, tmp_path: Path) -> None:
    """Nobody knows how many there are without operations, and nobody measures it who does not want it."""
    peaks = {}
    for name, options in {"full": ["--per-op"], "calls": [], "none": ["--per-op", "--no-peak"]}.items():
        capture = tmp_path / f"{name}.csv"
        assert watched(stand_in, "plain", 2, "--capture", capture, *options).returncode == 7
        peaks[name] = float(header_of(capture).get("read_peak_gbps", 0))
    assert peaks["full"] > 0 and peaks["calls"] == peaks["none"] == 0


def test_calls_that_warm_up(stand_in: Path, tmp_path: Path) -> None:
    capture, markers = tmp_path / "run.csv", tmp_path / "markers.csv"
    watched(stand_in, "plain", 1, "--capture", capture, "--per-op", "--markers", markers, "--warmup-calls", 2)
    table = rows(capture)
    phases = table.groupby("call")["phase"].unique()
    assert [list(phases[str(call)]) for call in range(4)] == [["warmup"], ["warmup"], ["decode"], ["decode"]]
    named = [line.rsplit(",", 1)[1] for line in markers.read_text().splitlines()[1:]]
    assert named == ["warmup", "warmup", "decode", "decode", "end"]


def test_a_page(stand_in: Path, tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    result = watched(stand_in, "plain", 2, "--capture", tmp_path / "run.csv", "--per-op", "--html", page)
    assert (result.returncode, result.stdout, result.stderr) == (7, "text of the program\n", "")
    text = page.read_text()
    assert text.startswith("<!doctype html>") and "run.csv" in text and "attention" in text


def test_what_others_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the program's own threads, as they stood at the last look."""
    monkeypatch.setattr(taken, "_PROC", tmp_path)
    thread = tmp_path / "41" / "task" / "42"
    thread.mkdir(parents=True)
    (thread / "schedstat").write_text("3000000000 1000000000 7\n")
    (tmp_path / "41-0.q4watch").touch()
    (tmp_path / "notes.q4watch").touch()
    looks = taken.Taken(tmp_path)
    with looks.meanwhile() as look:
        look()
    (thread / "schedstat").unlink()
    assert looks.percents()["run_delay_percent"] == pytest.approx(25)


@pytest.mark.parametrize(("build", "sequences"), [("extended", ["1", "1", "1", "2"]), ("extended anew", [""] * 4)])
def test_batches_that_only_the_library_knows(
    build: str, sequences: list[str], stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens and positions are the graph's, sequences those of its part of the batch, where that is as known."""
    monkeypatch.setenv("SYNTHETIC_BUILD", build)
    result = watched(stand_in, "plain", 1, "--capture", tmp_path / "run.csv")
    assert (result.returncode, result.stdout, result.stderr) == (7, "text of the program\n", "")
    table = rows(tmp_path / "run.csv")
    assert calls(tmp_path / "run.csv") == CALLS
    assert table["sequences"].tolist() == sequences
    last = "decode" if sequences[-1] else "prefill"
    assert table["phase"].tolist() == ["prefill", "prefill", "decode", last]


def test_a_node_that_is_not_carried_out(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lacks a flag which all others have, and nothing is said of it."""
    monkeypatch.setenv("SYNTHETIC_BUILD", "selecting")
    result = watched(stand_in, "plain", 2, "--capture", tmp_path / "run.csv", "--per-op")
    assert (result.returncode, result.stdout, result.stderr) == (7, "text of the program\n", "")
    work = rows(tmp_path / "run.csv")
    work = work[~work["op"].isin(["", "begin", "end", "barrier"])]
    assert set(work.groupby(["call", "thread"]).size()) == {7}


def test_a_node_of_another_name(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same address, of the same form and with sources at the same addresses, behind a batch of another size."""
    monkeypatch.setenv("SYNTHETIC_BUILD", "renaming")
    capture = tmp_path / "run.csv"
    watched(stand_in, "plain", 1, "--capture", capture, "--per-op")
    table = rows(capture)
    products = table[(table["shape"] == "96x64") & (table["op"] != "")]
    assert products.groupby("call")["node"].first().tolist() == ["Qcur-0", "Qcur-0", "Qcur-1", "Qcur-1"]


def test_nodes_that_no_function_shows(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version that does two at once: how many nodes of a call are missing, and the program as without."""
    monkeypatch.setenv("SYNTHETIC_BUILD", "fusing")
    result = watched(stand_in, "plain", 2, "--capture", tmp_path / "run.csv", "--per-op")
    assert (result.returncode, result.stdout) == (7, "text of the program\n")
    why = "another device's, or done on the way of the ones behind them"
    assert result.stderr == f"note: 1 of 8 operations (ROPE) of a graph were not seen: {why}\n"
    assert calls(tmp_path / "run.csv") == CALLS


def test_functions_that_are_called_otherwise(stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no node of the graph is not looked into, and is no row."""
    monkeypatch.setenv("SYNTHETIC_BUILD", "turned")
    result = watched(stand_in, "plain", 2, "--capture", tmp_path / "run.csv", "--per-op")
    assert (result.returncode, result.stdout) == (7, "text of the program\n")
    how = "calls ggml_cpu_extra_compute_forward in another way than is known: calls alone are captured"
    assert result.stderr == f"note: this build of llama.cpp {how}\n"
    assert calls(tmp_path / "run.csv") == CALLS
    assert (rows(tmp_path / "run.csv")["op"] == "").all()


def test_an_address_map(stand_in: Path, tmp_path: Path) -> None:
    """Each tensor at its own address, the cache by its layer; the capture has no operations that nobody asked for."""
    capture = tmp_path / "run.csv"
    result = watched(stand_in, "shift", 1, "--address-map", tmp_path / "map.csv", "--capture", capture)
    assert (result.returncode, result.stderr) == (7, "")
    assert calls(capture) == CALLS and (rows(capture)["op"] == "").all()
    known = read_map(tmp_path / "map.csv")
    sizes = {one.title: one.end - one.start for one in known.ranges if one.kind != "activations"}
    assert sizes == {
        "token_embd.weight": 320 * 36,
        "blk.0.attn_norm.weight": 256,
        "blk.0.attn_q.weight": 96 * 36,
        "KV cache: keys, blk.0": 256 * 64,
    }
    assert sum(one.kind == "activations" for one in known.ranges) > 5


def test_ranges_of_a_map_do_not_overlap() -> None:
    """Views of one thing are one range; where two things claim an address, the first has it."""
    of = [
        Place(100, 200, "blk.0.ffn_up.weight", True), Place(100, 150, "blk.0.ffn_up.weight", True),
        Place(400, 500, "cache_v_l3 (view)", False), Place(450, 600, "cache_v_l3", False),
        Place(700, 800, "a", False), Place(800, 900, "b", False), Place(150, 260, "c", False),
        Place(110, 120, "d", False), Place(0, 50, "e", False), Place(30, 30, "f", False),
    ]  # fmt: skip
    assert list(apart(of)) == [
        (100, 200, "weights", "blk.0.ffn_up.weight"),
        (200, 260, "activations", ""),
        (400, 600, "values", "blk.3"),
        (700, 900, "activations", ""),
    ]


def test_calls_alone(stand_in: Path, tmp_path: Path) -> None:
    result = watched(stand_in, "plain", 2, "--capture", tmp_path / "run.csv")
    assert result.returncode == 7
    assert calls(tmp_path / "run.csv") == CALLS
    assert (rows(tmp_path / "run.csv")["op"] == "").all()


def test_a_program_that_says_what_is_recorded(stand_in: Path, tmp_path: Path) -> None:
    """Nothing of the fifth call, no operations of the sixth, all of the seventh."""
    capture = tmp_path / "run.csv"
    assert watched(stand_in, "pause", 2, "--capture", capture, "--per-op").returncode == 7
    assert calls(capture) == [*CALLS, (12, 1), (13, 1)]
    operations = rows(capture).groupby("call", sort=False)["op"].size()
    assert operations.tolist()[4] == 1 and operations.tolist()[5] == operations.tolist()[2] > 1
    assert watched(stand_in, "pause", 1, "--capture", capture).returncode == 7
    assert calls(capture) == [*CALLS, (12, 1), (13, 1)]


@pytest.mark.parametrize("threads", [1, 2])
def test_several_contexts_have_a_file_each(stand_in: Path, tmp_path: Path, threads: int) -> None:
    """At one thread they run at the same time, and each operation goes to the call that it belongs to."""
    result = watched(stand_in, "two", threads, "--capture", tmp_path / "run.csv", "--per-op")
    assert result.returncode == 7
    assert result.stderr == "note: 2 contexts, a file each: run.csv, run-2.csv\n"
    found = {tuple(calls(path)): path for path in tmp_path.glob("*.csv")}
    steps = [(i, 1) for i in range(40)]
    own = CALLS + (steps if threads == 1 else [])
    assert sorted(found) == sorted([tuple(own), tuple(steps)])
    for path in found.values():
        table = rows(path)
        work = table[~table["op"].isin(["", "begin", "end", "barrier"])]
        assert set(work.groupby(["call", "thread"]).size()) == {7}


def test_a_fork_has_a_file_of_its_own(stand_in: Path, tmp_path: Path) -> None:
    result = watched(stand_in, "fork", 2, "--capture", tmp_path / "run.csv", "--per-op")
    assert (result.returncode, result.stdout) == (7, "text of the program\n")
    assert calls(tmp_path / "run.csv") == [*CALLS, (10, 1)]
    assert calls(tmp_path / "run-2.csv") == [(0, 4)]
    processes = [
        next(line for line in path.read_text().splitlines() if line.startswith("# process:"))
        for path in tmp_path.glob("*.csv")
    ]
    assert len(set(processes)) == 2


def test_killed(stand_in: Path, tmp_path: Path) -> None:
    result = watched(stand_in, "kill", 2, "--capture", tmp_path / "run.csv", "--per-op")
    assert result.returncode == -signal.SIGKILL
    assert calls(tmp_path / "run.csv") == CALLS
    assert list(tmp_path.iterdir()) == [tmp_path / "run.csv"]


def test_signals_go_to_the_program(stand_in: Path, tmp_path: Path) -> None:
    words = [*command("--capture", tmp_path / "run.csv"), "--", str(stand_in), str(stand_in.parent), "1", "wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (21, f"heard {int(signal.SIGTERM)}\n", "")
    assert calls(tmp_path / "run.csv") == CALLS


def test_a_signal_that_another_thread_gets_goes_to_the_program(tmp_path: Path) -> None:
    ready = tmp_path / "ready"

    def send() -> None:
        while not ready.exists():
            time.sleep(0.01)
        time.sleep(0.5)  # until it waits
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()  # before `run` blocks anything
    code = program.run(
        ["sh", "-c", f"trap 'exit 5' TERM; : > '{ready}'; for i in $(seq 400); do sleep 0.05; done"], None
    )
    sender.join()
    assert code == 5


def test_a_path_with_a_blank(stand_in: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    result = watched(stand_in, "plain", 1, "--capture", folder / "run: 1.csv")
    assert result.returncode == 7
    assert calls(folder / "run: 1.csv") == CALLS


def test_what_a_killed_watch_left_goes_with_the_next(stand_in: Path, tmp_path: Path) -> None:
    """The program does not end with it."""
    program = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"]
    words = [*command("--capture", tmp_path / "run.csv"), "--", *program]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        running = int(killed.stdout.readline())
        try:
            killed.kill()
            killed.wait()
            assert len(list(tmp_path.iterdir())) == 1
            assert watched(stand_in, "plain", 1, "--capture", tmp_path / "run.csv").returncode == 7
            assert [path.name for path in tmp_path.iterdir()] == ["run.csv"]
        finally:
            os.kill(running, signal.SIGKILL)


# ---- what cannot be watched ---------------------------------------------------------------------


def test_names_of_further_files() -> None:
    assert [numbered(Path("a/run.csv"), n) for n in (1, 2)] == [Path("a/run.csv"), Path("a/run-2.csv")]


def test_counters_of_the_programs_own_threads(stand_in: Path, tmp_path: Path) -> None:
    """Threads that come with each call and go with it: what all of them counted is in the call's row."""
    capture = tmp_path / "run.csv"
    words = [sys.executable, "-m", "q4engine", "watch", "--events", "task-clock", "--capture", str(capture), "--"]
    program_words = [str(stand_in), str(stand_in.parent), "2", "plain"]
    result = subprocess.run([*words, *program_words], capture_output=True, text=True, timeout=SECONDS)
    assert (result.returncode, result.stdout) == (7, "text of the program\n")
    table = rows(capture)
    if "task-clock@sw" not in table:
        pytest.skip(f"no counters here: {result.stderr.strip()}")
    counted = table["task-clock@sw"].astype(int)
    assert (counted > 0).all()
    # two threads, so no more than twice the time from the first call's begin to its end, clocks' grain left aside
    enabled = table["time_enabled_ns@sw"].astype(int)
    assert (counted <= enabled * 1.01 + 1_000_000).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_counters_of_operations(stand_in: Path, tmp_path: Path, threads: int) -> None:
    """Software events stand for the hardware's: what they count in the parts of a call is no more than in the call, on
    threads that come with each call and go with it."""
    capture = tmp_path / "run.csv"
    events = ["--events", "task-clock,page-faults", "--capture", str(capture), "--per-op", "--no-peak"]
    words = [sys.executable, "-m", "q4engine", "watch", *events, "--", str(stand_in), str(stand_in.parent)]
    result = subprocess.run([*words, str(threads), "plain"], capture_output=True, text=True, timeout=SECONDS)
    assert (result.returncode, result.stdout) == (7, "text of the program\n")
    table = rows(capture)
    if "task-clock@sw" not in table:
        pytest.skip(f"no counters here: {result.stderr.strip()}")
    assert (table["task-clock@sw"][table["op"].isin(["begin", "end"])] == "").all()
    counted = table[~table["op"].isin(["begin", "end"])].astype({"task-clock@sw": int, "page-faults@sw": int})
    whole = counted[counted["op"] == ""].set_index("call")
    work = counted[~counted["op"].isin(["", "barrier"])]
    assert (work["task-clock@sw"] > 0).all()
    for call, parts in counted[counted["op"] != ""].groupby("call"):
        for event in ("task-clock@sw", "page-faults@sw"):
            assert parts[event].min() >= 0
            assert parts[event].sum() <= whole[event][call]
    # behind the first call, which describes the nodes, much of one is in its operations, which do nothing but work
    later = counted[counted["call"] != "0"]
    assert later["task-clock@sw"][later["op"] != ""].sum() > later["task-clock@sw"][later["op"] == ""].sum() / 4
    assert float(header_of(capture)["observer_cost_percent"]) > 0


def test_markers_for_streamline(stand_in: Path, tmp_path: Path) -> None:
    """They carry the times that the calls have in the records; a shift has none."""
    variables = program.environment(tmp_path, False, "", program.library())
    with private_endpoints() as endpoints, Daemon(endpoints) as daemon:
        meanwhile = live.streamline(tmp_path, "on", phase_of, endpoints)
        code = program.run([str(stand_in), str(stand_in.parent), "1", "shift"], variables, meanwhile)
        daemon.wait(lambda: len(daemon.markers) >= len(CALLS))
        (stream,) = daemon.streams
    assert code == 7
    assert stream.markers == [f"past {past}, n_eval {n}" for past, n in CALLS]
    (process,) = filter(None, map(read, tmp_path.glob("*.q4watch")))
    times = [message.time for message in stream.messages if message.text.startswith("past ")]
    assert times == [call.start_ns for call in contexts(process)[0]]
