"""The file of results: whole runs or none, other plans and files refused; exports, stopping, doubts."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from cli_runs import Cli
from file_limits import files_of_at_most
from swept import MACHINE, synthetic_plan, write_results

from analysis import sweep_results
from q4engine.bench.conditions import State
from q4engine.bench.sustained import Reading
from q4engine.cpu_time import MachineTime
from q4engine.errors import Q4Error
from q4engine.sweep import export, stopping
from q4engine.sweep.combination import Combination
from q4engine.sweep.doubts import Before, conditions, doubts
from q4engine.sweep.plan_file import Pace, Plan
from q4engine.sweep.results import Results, Run, Sample, read_results
from q4engine.sweep.scored_models import Perplexity

PLAN = synthetic_plan({"threads": [1, 2]}, blocks=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep.sqlite"


def begun(path: Path, plan: Plan = PLAN) -> Results:
    results = Results(path)
    results.begin(plan.name, plan.settings(), {})
    return results


def tried(path: Path, plan: Plan) -> None:
    with Results(path) as results:
        results.begin(plan.name, plan.settings(), {})


def run(number: int, block: int = 0, state: str = "done", seconds: float = 0.5, **others: object) -> Run:
    samples = [Sample("prefill", 10, seconds), Sample("prefill", 10, 2 * seconds)]
    found = replace(Run(PLAN.combinations[number], block, state, samples=samples, machine=MACHINE), **others)
    return replace(found, samples=tuple(found.samples), components=tuple(found.components))


def test_what_goes_in_comes_out_in_its_order(path: Path) -> None:
    components = [Sample("prefill", 10, 0.25, "gemm")]
    kept = [
        run(1, engine={"engine": "synthetic 1"}, components=components, conditions={"migrations": 3}, started="now"),
        run(0),
        run(0, 1, "failed", reason="synthetic", samples=[]),
    ]
    with begun(path) as results:
        for each in kept:
            results.add(each)
        assert results.runs() == kept
    assert read_results(path) == kept


def test_the_latest_attempt_counts(path: Path) -> None:
    with begun(path) as results:
        results.add(run(0, state="failed", samples=[]))
        results.add(run(0, attempt=1))
        assert [each.attempt for each in results.runs()] == [1]
        with pytest.raises(Q4Error, match=r"sweep\.sqlite: cannot be written: UNIQUE constraint"):
            results.add(run(0, attempt=1))
    assert len(read_results(path)) == 1


def test_another_plan_is_refused_and_more_values_are_not(path: Path) -> None:
    begun(path).close()
    begun(path, synthetic_plan({"threads": [1, 2, 4]}, blocks=8)).close()
    with pytest.raises(Q4Error, match="was begun with seed = '1', the plan has '5'"):
        tried(path, synthetic_plan({"threads": [1]}, seed=5))
    with pytest.raises(Q4Error, match=r"was begun with another \[engines\.synthetic\]; -o names another file"):
        tried(path, synthetic_plan({"prompt": [1]}))


def test_a_model_that_changed_is_refused(path: Path, tmp_path: Path) -> None:
    model = tmp_path / "a.gguf"
    model.write_bytes(b"one")
    with Results(path) as results:
        results.begin("synthetic", {}, {model: model.stat()})
        results.begin("synthetic", {}, {model: model.stat()})
    model.write_bytes(b"another")
    with Results(path) as results, pytest.raises(Q4Error, match=r"a\.gguf: has changed since"):
        results.begin("synthetic", {}, {model: model.stat()})


def test_one_sweep_at_a_time(path: Path) -> None:
    with begun(path), pytest.raises(Q4Error, match="another sweep is writing it"):
        Results(path)
    Results(path).close()


def test_files_that_are_none(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"GGUF" * 1000)
    for opened in (Results, read_results):
        with pytest.raises(Q4Error, match="file is not a database"):
            opened(path)
    assert path.read_bytes() == b"GGUF" * 1000
    sqlite3.connect(tmp_path / "other.sqlite").executescript("CREATE TABLE a (b)")
    for opened in (Results, read_results):
        with pytest.raises(Q4Error, match="is no file of results"):
            opened(tmp_path / "other.sqlite")
    with pytest.raises(Q4Error, match="no such file"):
        read_results(tmp_path / "nowhere")
    with pytest.raises(Q4Error, match="cannot be written"):
        Results(tmp_path / "nowhere" / "sweep.sqlite")
    begun(path.with_name("new.sqlite")).close()
    sqlite3.connect(path.with_name("new.sqlite")).executescript("PRAGMA user_version = 9")
    with pytest.raises(Q4Error, match="has version 9 of the results' format, expected 2"):
        Results(path.with_name("new.sqlite"))


FIRST_VERSION = """
CREATE TEMP TABLE kept AS SELECT * FROM combinations;
DROP TABLE combinations; DROP TABLE tokens; DROP TABLE perplexities;
CREATE TABLE combinations (
  id INTEGER PRIMARY KEY, hash TEXT UNIQUE NOT NULL, engine TEXT NOT NULL, build TEXT, model TEXT, type TEXT,
  threads INTEGER, mask TEXT, features TEXT, prompt INTEGER, generate INTEGER, depth INTEGER, batch INTEGER);
INSERT INTO combinations SELECT
  id, hash, engine, build, model, type, threads, mask, features, prompt, generate, depth, batch FROM kept;
PRAGMA user_version = 1;
"""


def test_results_of_the_first_version_are_read_and_go_on(path: Path) -> None:
    with begun(path) as results:
        results.add(run(0))
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.executescript(FIRST_VERSION)
    assert read_results(path) == [run(0)]
    assert [setup.values["machine"] for setup in sweep_results.read(path).setups] == ["here"]
    with begun(path) as results:
        results.add(run(1, tokens=((4, 0.5),)))
        results.add_perplexities([Perplexity("synthetic.gguf", "", 12.0, 0.5, 100)])
    assert read_results(path) == [run(0), run(1, tokens=((4, 0.5),))]
    assert sweep_results.read(path).setups[0].values["machine"] == "here"


def test_a_full_disk_loses_nothing_that_is_there(path: Path) -> None:
    with begun(path) as results:
        results.add(run(0))
        many = run(1, samples=[Sample("prefill", 10, 0.5 + number) for number in range(20_000)])
        with files_of_at_most(path.stat().st_size), pytest.raises(Q4Error, match=r"sweep\.sqlite: cannot be written: "):
            results.add(many)
        assert results.runs() == [run(0)]
        results.add(many)
    assert read_results(path) == [run(0), many]


# ---- exports ---------------------------------------------------------------------------------------------------------


def test_csv_has_a_row_a_sample(path: Path) -> None:
    with begun(path) as results:
        results.add(run(0, engine={"engine": "synthetic 1"}, conditions={"others_percent_of_cpu": 1.5}))
        results.add(run(1, state="failed", samples=[], reason="synthetic, broken"))
    one, two, failed = csv.DictReader(io.StringIO(export.to_csv(read_results(path)).decode()))
    assert (one["threads"], one["phase"], one["sample"], one["tokens_per_second"]) == ("1", "prefill", "0", "20.0")
    assert (two["sample"], two["seconds"], two["engine_version"], two["cpu"]) == (
        "1",
        "1.0",
        "synthetic 1",
        "synthetic",
    )
    assert (failed["state"], failed["reason"], failed["seconds"]) == ("failed", "synthetic, broken", "")


def test_llama_benchs_objects(path: Path) -> None:
    plan = synthetic_plan({"threads": [2], "prompt": [10]}, blocks=2)
    write_results(path, plan, lambda *_: [0.1, 0.3])
    (found,) = map(json.loads, export.to_jsonl(read_results(path)).splitlines())
    assert (found["n_threads"], found["n_prompt"], found["n_gen"], found["cpu_info"]) == (2, 10, 0, "synthetic")
    assert (found["samples_ns"], found["avg_ns"]) == ([1_000_000_000, 3_000_000_000] * 2, 2_000_000_000)
    assert found["build_commit"] == "0123456789ab" and found["avg_ts"] == pytest.approx(20 / 3)


def test_exports_as_files(q4: Cli, path: Path, tmp_path: Path) -> None:
    write_results(path, PLAN, lambda *_: [0.1])
    assert q4("sweep", "export", path, "-o", tmp_path / "a.csv").code == 0
    assert (tmp_path / "a.csv").read_bytes() == export.to_csv(read_results(path))
    assert q4("sweep", "export", path, "-o", tmp_path / "b", "--format", "jsonl").code == 0
    assert q4("sweep", "export", path, "-o", tmp_path / "b").code == 2
    assert "is the file of the results" in q4("sweep", "export", path, "-o", path, "--format", "csv").err
    parquet = q4("sweep", "export", path, "-o", tmp_path / "c.parquet")
    try:
        from pyarrow import parquet as reader
    except ImportError:
        assert parquet.err == "error: Parquet needs pyarrow: pip install pyarrow\n" and parquet.code == 1
    else:
        found = reader.read_table(tmp_path / "c.parquet")
        assert found.num_rows == 4
        with Results(tmp_path / "failed.sqlite") as failed:
            failed.add(Run(Combination.of({"engine": "x"}), 0, "failed", "synthetic"))
        assert q4("sweep", "export", tmp_path / "failed.sqlite", "-o", tmp_path / "d.parquet").code == 0
        assert reader.read_schema(tmp_path / "d.parquet").equals(found.schema)  # whatever the values are


# ---- stopping --------------------------------------------------------------------------------------------------------


def test_a_sweep_ends_after_its_blocks() -> None:
    assert stopping.enough(Pace(blocks=3), 2, []) == ""
    assert stopping.enough(Pace(blocks=3), 3, []) == "3 repetitions are made"


def test_a_target_is_for_all_and_asked_after_pairs_of_blocks() -> None:
    known = [run(0, block, samples=[Sample("prefill", 10, 1 + 0.001 * block)]) for block in range(8)]
    pace = Pace(blocks=100, target=0.01)
    assert stopping.enough(pace, 8, known).startswith("every median is known to ± 0.26 %")
    assert stopping.enough(pace, 7, known) == "" == stopping.enough(pace, 4, known[:4])
    scattered = [run(0, block, samples=[Sample("prefill", 10, 1 + 0.1 * (block < 6) * block)]) for block in range(40)]
    assert stopping.enough(pace, 6, scattered) == "" != stopping.enough(pace, 40, scattered)
    wide = [run(1, block, samples=[Sample("prefill", 10, 1 + 0.1 * block)]) for block in range(8)]
    assert stopping.enough(pace, 8, known + wide) == ""
    failing = [run(1, block, "failed", samples=[]) for block in range(8)]
    assert stopping.enough(pace, 8, known + failing) != "" and stopping.enough(pace, 8, failing) == ""


def test_a_budget_is_of_the_runs_seconds() -> None:
    made = [replace(run(0, block), seconds=4.0) for block in range(3)]
    assert stopping.spent(Pace(budget=13), made) == "" == stopping.spent(Pace(), made)
    assert stopping.spent(Pace(budget=12), made) == "the budget of 12 s is spent"


# ---- doubts ----------------------------------------------------------------------------------------------------------


def moment(at: float, busy: float, own: float, **reading: object) -> Before:
    state = State([], [], {}, 0.5, MachineTime(busy, 0.0), 0.0)
    return Before(at, state, replace(Reading(2000.0, 50.0, 7, 0, 1.0), **reading), own)


def test_what_makes_a_run_doubtful() -> None:
    calm = conditions(moment(0, 100, 10), moment(10, 109, 19), 3)
    assert calm["others_percent_of_cpu"] == 0 and doubts(calm, 10, 6) == []
    loaded = conditions(moment(0, 100, 10), moment(10, 114, 19), 3)
    assert doubts(loaded, 10, 6) == ["others used 50 % of a CPU"]
    assert doubts(loaded | {"others_percent_of_cpu": 300.0}, 0.05, 6) == []  # a tick or two of a short run
    for changed in ({"throttles": 8}, {"cooling": 2}, {"allowed": 0.8}):
        found = conditions(moment(0, 100, 10), moment(10, 109, 19, **changed), 3)
        assert doubts(found, 10, 6) == ["throttled"]
    assert doubts(calm | {"migrations": 25}, 10, 6) == ["25 migrations"]
    nothing = Before(1.0, State([], [], {}, None, None, 0.0), Reading(), 0.0)
    assert doubts(conditions(nothing, nothing, None), 1.0, 1) == []


def test_the_machine_is_looked_at() -> None:
    from q4engine.sweep.doubts import look

    before = look(1)
    found = conditions(before, look(1), None)
    assert found["migrations"] is None and (found["load_average"] is None or found["load_average"] >= 0)
    assert json.loads(json.dumps(found)) == found
