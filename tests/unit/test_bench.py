"""bench without a clock: statistics, plans, tables, states of the machine, arguments."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from pathlib import Path

import pytest
from bench_results import MODEL, result
from hypothesis import given
from hypothesis import strategies as st
from models.tiny import TINY_LLAMA, write_tiny

from q4engine import cpu_time
from q4engine.bench import conditions
from q4engine.bench.cases import Case, Work, cases, work
from q4engine.bench.limits import Limit
from q4engine.bench.runner import Result, Runner, Settings
from q4engine.bench.statistics import deviation, drift_percent, mean, median
from q4engine.bench.tables import Markdown, Row, as_dict, csv_lines, to_json
from q4engine.bench.targets import random_tokens
from q4engine.cli import main
from q4engine.cli.bench import integers
from q4engine.cpu_time import MachineTime
from q4engine.engine import Engine

# ---- statistics ------------------------------------------------------------------------------------------------------


def test_statistics_of_known_values() -> None:
    values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]
    assert (mean(values), median(values)) == (5.0, 4.5)
    assert deviation(values) == pytest.approx(math.sqrt(32 / 7), rel=1e-12)  # squares sum to 32, n - 1 = 7
    assert deviation([3.0]) == 0.0


def test_drift_is_the_change_from_first_to_last() -> None:
    assert drift_percent([100.0, 95.0, 90.0]) == pytest.approx(-100 * 10 / 95)
    assert drift_percent([90.0, 95.0, 100.0]) == pytest.approx(100 * 10 / 95)
    assert drift_percent([5.0, 5.0, 5.0, 5.0]) == 0.0
    assert drift_percent([1.0, 2.0]) == 0.0  # two values are no trend


def test_one_disturbed_repetition_is_no_drift() -> None:
    assert abs(drift_percent([100.0, 100.0, 100.0, 100.0, 40.0])) < 5.0
    assert abs(drift_percent([100.0, 40.0, 100.0, 100.0, 100.0])) < 5.0


@given(st.lists(st.floats(1.0, 1e6), min_size=3, max_size=9), st.floats(0.5, 8.0))
def test_drift_does_not_depend_on_the_unit(values: list[float], factor: float) -> None:
    assert drift_percent([value * factor for value in values]) == pytest.approx(drift_percent(values), abs=1e-6)
    assert drift_percent(values[::-1]) == pytest.approx(-drift_percent(values), abs=1e-6)


# ---- plans -----------------------------------------------------------------------------------------------------------


def test_names_and_order_are_llama_benchs() -> None:
    plan = cases([512, 78], [128], [0, 2048])
    assert [test.name for test in plan] == [
        "pp512", "pp78", "tg128", "pp512 @ d2048", "pp78 @ d2048", "tg128 @ d2048",
    ]  # fmt: skip
    assert [test.n_ctx for test in plan] == [512, 78, 128, 2560, 2126, 2176]


def test_a_prompt_with_its_generation_is_one_test() -> None:
    plan = cases([512], [0], [0, 16], [(256, 64), (0, 8), (0, 0)])
    assert [test.name for test in plan] == [
        "pp512",
        "pp256+tg64",
        "tg8",
        "pp512 @ d16",
        "pp256+tg64 @ d16",
        "tg8 @ d16",
    ]
    both = plan[1]
    assert (both.n_tokens, both.n_ctx, both.is_one_kind, plan[2].is_one_kind) == (320, 320, False, True)
    row = Row(MODEL, result(both, [3.2, 3.2], limit=None))
    assert " 100.00 ± 0.00 |" in Markdown(False).row(row) and Markdown(False).row(row).count("–") == 2
    found = as_dict(row)
    assert (found["n_prompt"], found["n_gen"], found["rate"], found["rate_unit"]) == (256, 64, None, None)


def test_zero_is_no_test_and_no_test_runs_twice() -> None:
    assert [test.name for test in cases([0, 16, 16], [0], [0])] == ["pp16"]
    assert cases([0], [0], [0]) == []


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.load(write_tiny(tmp_path_factory.mktemp("bench") / "synthetic tiny.gguf"), n_threads=1)


def matrices(engine: Engine, *, last_only: bool) -> int:
    """Quantised weights by name: those that serve the last token only are what follows the last layer's attention."""
    last = f"blk.{engine.config.n_layers - 1}."
    found = 0
    for name, tensor in engine.gguf.tensors.items():
        output = name == "output.weight" or (name == "token_embd.weight" and engine.config.tied_output)
        late = output or (name.startswith(last) and any(part in name for part in ("attn_output", "ffn_")))
        if len(tensor.shape) == 2 and (name != "token_embd.weight" or output) and tensor.type.block_size > 1:
            found += tensor.n_elements if late == last_only else 0
    return found


def test_work_of_a_prompt(engine: Engine) -> None:
    every, last = matrices(engine, last_only=False), matrices(engine, last_only=True)
    assert every > 0
    assert work(engine, Case(10, 0), 4) == Work(0, 10 * every + 3 * last)  # batches of 4, 4 and 2
    assert work(engine, Case(10, 0), 16) == Work(0, 10 * every + last)


def test_work_of_a_generation(engine: Engine) -> None:
    every, last = matrices(engine, last_only=False), matrices(engine, last_only=True)
    config = engine.config
    first, third = work(engine, Case(0, 1), 16), work(engine, Case(0, 3), 16)
    assert first.int8_macs == every + last
    assert first.n_bytes > sum(choice.packed_bytes for choice in engine.kernels)
    position = 2 * 2 * config.n_layers * config.n_kv_heads * config.head_dim  # keys and values, fp16
    assert third.n_bytes - 3 * first.n_bytes == 3 * position  # 1 + 2 + 3 positions against 3 x 1
    assert work(engine, Case(0, 1, 100), 16).n_bytes - first.n_bytes == 100 * position
    prompt, both = work(engine, Case(5, 0, 95), 16), work(engine, Case(5, 1, 95), 16)
    assert both == Work(work(engine, Case(0, 1, 100), 16).n_bytes, prompt.int8_macs + first.int8_macs)


def test_tokens_are_the_same_every_time_and_in_range() -> None:
    tokens = random_tokens(1000, 50, 1)
    assert tokens == random_tokens(1000, 50, 1) != random_tokens(1000, 50, 2)
    assert set(tokens) == set(range(50))


# ---- results and tables ----------------------------------------------------------------------------------------------


def test_result_uses_medians() -> None:
    limit = Limit("read", "GB/s", [10.0, 20.0, 90.0])
    found = result(Case(0, 10), [0.2, 0.2, 0.9], peer=[0.5, 0.4, 0.4], limit=limit)
    assert found.own.rates == pytest.approx([50, 50, 10 / 0.9])
    assert found.rate == pytest.approx(15.0)  # 3 GB in 0.2 s
    assert found.percent_of_limit == pytest.approx(75.0)
    assert found.ratio == pytest.approx(2.0)
    prompt = result(Case(100, 0), [0.1, 0.1, 0.1], limit=Limit("int8 x", "GOP/s", [200.0]))
    assert prompt.rate == pytest.approx(100.0)  # two operations a product
    assert prompt.percent_of_limit == pytest.approx(50.0)


def test_more_than_the_limit_is_withheld() -> None:
    found = result(Case(0, 10), [0.2, 0.2], limit=Limit("read", "GB/s", [9.26]))  # 15 GB/s of 9.26
    found.repeated = True
    assert found.exceeds_limit and found.percent_of_limit is None and found.reached == pytest.approx(162.0, rel=1e-3)
    assert as_dict(Row(MODEL, found))["percent_of_limit"] is None
    assert Markdown(with_peer=False).row(Row(MODEL, found)).rstrip(" |").endswith("withheld")
    (warning,) = found.warnings()
    assert warning.startswith("tg10: 162 % of the limit that was measured beside it, also when repeated: ")
    nearly = result(Case(0, 10), [0.2, 0.2], limit=Limit("read", "GB/s", [14.5]))
    assert nearly.percent_of_limit == pytest.approx(103.4, rel=1e-3) and nearly.warnings() == []


@pytest.mark.parametrize(
    ("rates", "runs", "percent"), [([20.0], 1, 75.0), ([5.0, 20.0], 2, 75.0), ([5.0, 5.0], 2, None)]
)
def test_more_than_the_limit_is_measured_once_more(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, rates: list[float], runs: int, percent: float | None
) -> None:
    found = [result(Case(0, 10), [0.2], limit=Limit("read", "GB/s", [rate])) for rate in rates]
    measured, done = measured_of(monkeypatch, engine, found)
    assert done == runs and measured.percent_of_limit == (None if percent is None else pytest.approx(percent))


def measured_of(monkeypatch: pytest.MonkeyPatch, engine: Engine, found: list[Result]) -> tuple[Result, int]:
    """What a runner makes of these results, and how often it measured."""
    left = iter(found)
    done: list[Case] = []
    monkeypatch.setattr(Runner, "_run", lambda self, test: (done.append(test), next(left))[1])
    return Runner(engine, 64, Settings(), None, lambda _: None).run(Case(0, 10)), len(done)


LIMIT = Limit("read", "GB/s", [20.0])  # in 0.2 s 75 % of it are reached
STRANGE = {
    "a peer that somebody disturbed": ([0.2, 0.2], [16.6, 16.6], r"83 times as fast as llama\.cpp, which would be 1 %"),
    "a peer beyond the limit": ([0.2, 0.2], [0.1, 0.1], r"0\.5 times as fast as llama\.cpp, which would be 150 %"),
    "drift": ([0.1, 0.15, 0.2], [0.2, 0.2, 0.2], r"q4engine drifted by -75\.0 % over 3 repetitions, also when "),
    "a peer's drift": ([0.2, 0.2, 0.2], [0.3, 0.25, 0.2], r"llama\.cpp drifted by \+41\.7 % over 3 repetitions, also"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_figures_are_measured_once_more(monkeypatch: pytest.MonkeyPatch, engine: Engine, name: str) -> None:
    own, peer, warning = STRANGE[name]
    strange = [result(Case(0, 10), own, peer, LIMIT) for _ in range(2)]
    quiet = result(Case(0, 10), [0.2, 0.2, 0.2], [0.4, 0.4, 0.4], LIMIT)
    assert measured_of(monkeypatch, engine, [quiet]) == (quiet, 1) and not quiet.repeated
    assert measured_of(monkeypatch, engine, [strange[0], quiet]) == (quiet, 2) and quiet.repeated
    assert quiet.warnings() == [] and quiet.ratio == pytest.approx(2.0)
    measured, done = measured_of(monkeypatch, engine, strange)
    assert done == 2 and any(re.search(warning, text) for text in measured.warnings())
    data, row = as_dict(Row(MODEL, measured)), Markdown(with_peer=True).row(Row(MODEL, measured))
    assert data["repeated"] and data["peer"]["samples_ns"] == [round(seconds * 1e9) for seconds in peer]
    withheld = "drift" not in name
    assert (data["peer"]["ratio"] is None) == withheld == row.rstrip(" |").endswith("withheld")


def test_warnings() -> None:
    quiet = result(Case(0, 10), [0.2, 0.2, 0.2])
    assert quiet.warnings() == []
    slower = result(Case(0, 10), [0.20, 0.21, 0.22], peer=[0.2, 0.2, 0.2])
    assert [text for text in slower.warnings() if re.search(r"tg10: q4engine drifted by -9\.\d %", text)]
    assert len(slower.warnings()) == 1
    quiet.others = 30.0
    assert quiet.warnings() == ["tg10: others used 30 % of a CPU meanwhile"]


def test_markdown_is_a_table() -> None:
    limit = Limit("read", "GB/s", [20.0])
    rows = [result(Case(512, 0), [0.5, 0.5]), result(Case(0, 10, 2048), [0.2, 0.2], limit=limit)]
    table = Markdown(with_peer=False, width=len(MODEL.kind))
    lines = [*table.head(), *(table.row(Row(MODEL, row)) for row in rows)]
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells == [
        "llama 135M Q4_0", "90.00 MiB", "134.50 M", "2", "tg10 @ d2048", "50.00 ± 0.00", "15.0 GB/s",
        "75.0 % of 20.0",
    ]  # fmt: skip
    assert [cell.strip() for cell in lines[2].strip("|").split("|")][-1] == "–"  # no limit was measured


@pytest.mark.parametrize("most", [60, 80, 100, 132, 200])
@pytest.mark.parametrize("with_peer", [False, True])
def test_markdown_leaves_out_what_does_not_fit(most: int, with_peer: bool) -> None:
    peer = [0.5, 0.4] if with_peer else None
    table = Markdown(with_peer, len(MODEL.kind), most)
    limit = Limit("read", "GB/s", [20.0, 21.0])
    lines = [*table.head(), table.row(Row(MODEL, result(Case(0, 10), [0.25, 0.2], peer, limit)))]
    assert len({len(line) for line in lines}) == 1 and len(lines[0]) <= most
    assert len({line.count("|") for line in lines}) == 1
    names = [name.strip() for name in lines[0].strip("|").split("|")]
    assert {"test", "t/s"} <= set(names) and ("ratio" in names) == with_peer
    assert dict(zip(names, [cell.strip() for cell in lines[2].strip("|").split("|")], strict=True))["test"] == "tg10"


def test_markdown_with_a_peer() -> None:
    table = Markdown(with_peer=True)
    row = table.row(Row(MODEL, result(Case(0, 10), [0.2], peer=[0.5])))
    assert [cell.strip() for cell in row.strip("|").split("|")][-2:] == ["20.00 ± 0.00", "2.50"]
    assert row.count("|") == table.head()[0].count("|") == table.head()[1].count("|")


def test_json_keeps_every_sample() -> None:
    limit = Limit("read", "GB/s", [20.0, 21.0])
    row = Row(MODEL, result(Case(0, 10), [0.25, 0.2], peer=[0.5, 0.4], limit=limit))
    data = json.loads(to_json([row], {"cpu": "a CPU"}))
    assert data["machine"] == {"cpu": "a CPU"}
    (test,) = data["results"]
    assert test == json.loads(json.dumps(as_dict(row)))
    assert test["samples_ns"] == [250_000_000, 200_000_000]
    assert test["samples_ts"] == [40.0, 50.0]
    assert (test["test"], test["n_gen"], test["n_prompt"], test["n_depth"]) == ("tg10", 10, 0, 0)
    assert test["limit_samples"] == [20.0, 21.0]
    assert test["warmup_ns"] == 500_000_000
    assert test["peer"]["samples_ns"] == [500_000_000, 400_000_000]
    assert test["peer"]["warmup_ns"] is None
    assert test["before"] == {
        "governors": ["performance"], "mhz": [2000.0], "celsius": {"cpu": 41.5}, "load_average": 0.5
    }  # fmt: skip


def test_csv_has_a_column_for_every_value() -> None:
    rows = [Row(MODEL, result(Case(0, 10), [0.2], peer=[0.5])), Row(MODEL, result(Case(8, 0), [0.2]))]
    machine = {"cpu": 'A, "quoted" CPU'}
    first, second = csv.DictReader(csv_lines(rows, machine))
    assert first["cpu"] == 'A, "quoted" CPU'
    assert (first["test"], first["avg_ts"], first["peer_ratio"]) == ("tg10", "50.0", "2.5")
    assert (second["test"], second["peer_ratio"], second["limit"]) == ("pp8", "", "")
    assert csv_lines(rows, machine, head=False) == csv_lines(rows, machine)[1:]
    assert None not in first and None not in first.values()


# ---- the machine's state ---------------------------------------------------------------------------------------------


def test_state_of_recorded_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up machine with cpufreq and thermal zones."""
    for cpu, kilohertz in (("cpu0", "1800000"), ("cpu1", "2400000")):
        folder = tmp_path / "cpu" / cpu / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(kilohertz + "\n")
    zone = tmp_path / "thermal" / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("soc\n")
    (zone / "temp").write_text("41500\n")
    (tmp_path / "stat").write_text("cpu  1000 200 300 90000 500 40 60 700 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    monkeypatch.setattr(conditions, "CPU_ROOT", tmp_path / "cpu")
    monkeypatch.setattr(conditions, "THERMAL_ROOT", tmp_path / "thermal")
    monkeypatch.setattr(cpu_time, "STAT", tmp_path / "stat")
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    state = conditions.read_state()
    assert state.mhz == [1800.0, 2400.0]
    assert state.celsius == {"thermal_zone0 soc": 41.5}
    assert state.machine == (16.0, 7.0)  # user, nice, system, irq, softirq


def test_state_where_nothing_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CPU_ROOT", "THERMAL_ROOT", "_CPUINFO"):
        monkeypatch.setattr(conditions, name, tmp_path / "absent")
    monkeypatch.setattr(cpu_time, "STAT", tmp_path / "absent")
    state = conditions.read_state((2**30,))
    assert (state.mhz, state.celsius, state.machine, state.children) == ([], {}, None, {})
    assert conditions.others_percent(state, state, 1.0) is None


def test_others_are_what_is_neither_ours_nor_a_peers() -> None:
    before = conditions.State([], [], {}, None, MachineTime(100.0, 5.0), 50.0, {7: 1.0})
    after = conditions.State([], [], {}, None, MachineTime(110.0, 6.0), 53.0, {7: 5.0})
    # 10 s were used, 3 by us and 4 by the peer; 1 s was stolen
    assert conditions.others_percent(before, after, 10.0) == pytest.approx(40.0)


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give at least one MODEL"),
        (["m.gguf", "-p", "0", "-n", "0"], "nothing to measure"),
        (["m.gguf", "-p", "1,x"], "-p/--n-prompt: 'x' is no integer"),
        (["m.gguf", "-p", ""], "'' is no integer"),
        (["m.gguf", "-p", "64-512*1"], "'64-512*1' does not end, expected a step that leads on"),
        (["m.gguf", "-p", "0-9+0"], "'0-9+0' does not end, expected a step that leads on"),
        (["m.gguf", "-p", "9-1"], "'9-1' has no number"),
        (["m.gguf", "-p", "1-9999"], "'1-9999' has more than 1000 numbers"),
        (["m.gguf", "-p", "1-4/2"], "'1-4/2' is no integer"),
        (["m.gguf", "-t", "1-300"], "'300' is out of range"),
        (["m.gguf", "-t", "0"], "'0' is out of range, expected 1 to 256"),
        (["m.gguf", "-n", "-1"], "-n"),
        (["m.gguf", "-d", "1048577"], "out of range"),
        (["m.gguf", "-r", "0"], "out of range, expected 1 to"),
        (["m.gguf", "--cooldown", "-1"], "out of range"),
        (["m.gguf", "--cooldown", "nan"], "'nan' is no number"),
        (["m.gguf", "-o", "xml"], "invalid choice"),
        (["m.gguf", "--vs", "other"], "invalid choice"),
        (["m.gguf", "--events", "mix"], "--events needs --capture"),
        (["m.gguf", "--capture", "d", "-o", "json"], "--capture takes"),
        (["m.gguf", "--capture", "d", "-n", "1,2"], "--capture takes"),
        (["m.gguf", "--capture", "d", "-p", "0"], "--capture takes"),
        (["m.gguf", "--capture", "d", "--vs", "llama-cpp"], "with --vs, --explain"),
        (["m.gguf", "--explain"], "--explain needs --vs"),
        (["m.gguf", "--sustain", "5", "-o", "sql"], "give md, csv or json"),
        (["m.gguf", "--vs", "llama-cpp", "--explain", "-p", "1,2"], "--explain takes one model"),
        (["m.gguf", "n.gguf", "--vs", "llama-cpp", "--explain"], "--explain takes one model"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_ranges_are_llama_benchs() -> None:
    numbers = integers(0, 4096)
    assert numbers("1-4") == [1, 2, 3, 4] and numbers("7-7") == [7]
    assert numbers("128-512+128,5") == [128, 256, 384, 512, 5]
    assert numbers("64-600*2") == [64, 128, 256, 512]


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tmp_path / "absent.gguf"), "-t", "1"]) == 1
    assert re.fullmatch(r"error: \S*absent\.gguf: no such file\n", capsys.readouterr().err)


@pytest.mark.parametrize("n_prompt", [8, 9])
@pytest.mark.parametrize("form", [(), ("--capture",)])
def test_a_context_beyond_training_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n_prompt: int, form: tuple[str, ...]
) -> None:
    model = write_tiny(tmp_path / "synthetic.gguf", TINY_LLAMA.with_changes(n_ctx_train=16))
    arguments = ["-t", "1,2", "-p", str(n_prompt), "-r", "1"]
    arguments += ["-n", "8", "--capture", str(tmp_path), "--events", "none"] if form else ["-n", "0", "-d", "8"]
    assert main(["bench", str(model), *arguments]) == 0
    note = f"note: a context of {8 + n_prompt} tokens is more than the 16 that the model was trained on\n"
    assert capsys.readouterr().err.count(note) == n_prompt - 8


# ---- captures --------------------------------------------------------------------------------------------------------


def test_captures_of_every_combination(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, folder = write_tiny(tmp_path / "synthetic tiny.gguf"), tmp_path / "new" / "folder"
    arguments = ["-t", "1,2", "-p", "3,5", "-n", "2", "-r", "2", "--events", "none"]
    assert main(["bench", str(model), "--capture", str(folder), *arguments]) == 0
    names = [f"synthetic tiny.t0{threads}.p000{prompt}.csv" for threads in (1, 2) for prompt in (3, 5)]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()] == [str(folder / n) for n in names]
    for name in names:
        lines = (folder / name).read_text().splitlines()
        header = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
        assert header["n_threads"] == name.split(".t0")[1][0]
        assert float(header["read_peak_gbps"]) > 0
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
        calls = [(row["phase"], int(row["n_past"]), int(row["n_eval"])) for row in rows if not row["op"]]
        prompt = int(name.split(".p000")[1][0])
        once = [("prefill", 0, prompt), ("decode", prompt, 1), ("decode", prompt + 1, 1)]
        assert calls == once * 2  # the warm-up is not among them
        assert {row["thread"] for row in rows if row["op"]} == {str(i) for i in range(int(header["n_threads"]))}


def test_captures_that_would_overwrite_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "a/m.gguf", "b/m.gguf", "--capture", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: two models are called m, so their captures would have the same names\n"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["bench", "m.gguf", "--capture", str(tmp_path / "file")]) == 1
    assert re.fullmatch(r"error: \S*file: the folder cannot be made: File exists\n", capsys.readouterr().err)
