"""Every form of llama-bench's outputs is read (`analysis.bench_files`): of new and old versions, whole and broken."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from bench_results import MODEL
from bench_results import result as measured
from llama_bench_texts import SIZE, Result, around, as_csv, as_json, as_jsonl, as_md, as_sql, old, result
from swept import synthetic_plan, write_results

from analysis import bench_files
from analysis.bench_files import read
from analysis.bench_result import BOTH, GENERATION, PROMPT, Benchmark, Wrong, of_fields
from analysis.errors import AnalysisError
from q4engine.bench.cases import Case
from q4engine.bench.tables import Markdown, Row, csv_lines, json_line, sql_lines, to_json
from q4engine.sweep.export import to_jsonl
from q4engine.sweep.results import read_results

RESULTS = [
    result(512, 0, around(480.0)),
    result(0, 128, around(24.5)),
    result(256, 64, around(120.0), 1024),
]
FORMS: dict[str, Callable[[list[Result]], str]] = {
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
    "sql": as_sql,
    "md": as_md,
}


def written(folder: Path, text: str | bytes, name: str = "synthetic") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def found(folder: Path, text: str | bytes) -> list[Benchmark]:
    return read(written(folder, text))[0]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_tells_the_same(form: str, tmp_path: Path) -> None:
    results = found(tmp_path, FORMS[form](RESULTS))
    assert [each.test for each in results] == ["pp512", "tg128", "pp256+tg64 @ d1024"]
    assert [each.kind for each in results] == [PROMPT, GENERATION, BOTH]
    assert [each.rate for each in results] == pytest.approx([one["avg_ts"] for one in RESULTS], abs=0.006)
    assert [each.deviation for each in results] == pytest.approx([one["stddev_ts"] for one in RESULTS], abs=0.006)
    assert {(each.model, each.settings["threads"]) for each in results} == {("synthetic 1B Q4_0", "4")}
    assert {(each.origin["commit"], each.origin["build"], each.origin["backend"]) for each in results} == {
        ("abc1234", "6000", "CPU")
    }
    assert all(each.bytes == pytest.approx(SIZE, rel=0.01) for each in results)
    assert [len(each.samples) for each in results] == [5 * ("json" in form)] * 3
    if form != "md":
        assert {(each.filename, each.origin["cpu"]) for each in results} == {("synthetic-q4_0.gguf", "Synthetic A")}
        assert "mask" not in results[0].settings and results[0].settings["mmap"] == "1"


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "sql"])
def test_older_versions_have_other_columns(form: str, tmp_path: Path) -> None:
    results = found(tmp_path, FORMS[form]([old(one) for one in RESULTS[:2]]))
    assert [each.test for each in results] == ["pp512", "tg128"]
    assert results[0].settings["K"] == results[0].settings["V"] == "f16"
    assert results[0].origin["backend"] == "BLAS" and results[1].n_depth == 0


def test_tables_of_older_versions(tmp_path: Path) -> None:
    results = found(tmp_path, as_md(RESULTS[:2], blank=" ") + "\nand another\n\n" + as_md([RESULTS[2]]))
    assert [each.test for each in results] == ["pp512", "tg128", "pp256+tg64 @ d1024"]
    oldest = found(tmp_path, as_sql(RESULTS[:1], "test"))
    assert oldest[0].test == "pp512"


@pytest.mark.parametrize("form", FORMS)
def test_what_other_programs_print_around_is_skipped(form: str, tmp_path: Path) -> None:
    before, behind = "ggml_init: found 1 device: [synthetic] {x}\nload: 3, 4\n", "\nreal 0m3.1s\n"
    assert len(found(tmp_path, before + FORMS[form](RESULTS) + behind)) == 3
    assert len(found(tmp_path, (before + FORMS[form](RESULTS)).encode("utf-16"))) == 3


def test_the_database_that_sql_makes(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.sqlite"
    with sqlite3.connect(path) as base:
        base.executescript(as_sql(RESULTS))
    results, _ = read(path)
    assert [each.test for each in results] == ["pp512", "tg128", "pp256+tg64 @ d1024"]
    with sqlite3.connect(path) as base:
        base.execute(f"PRAGMA application_id = {0x71347377}")
    with pytest.raises(AnalysisError, match=r"is a file of q4engine sweep: .* export FILE"):
        read(path)
    written(tmp_path, b"SQLite format 3\0" + bytes(200), "broken.sqlite")
    with pytest.raises(AnalysisError, match="cannot be read"):
        read(tmp_path / "broken.sqlite")


def test_a_quote_within_a_name_of_sql(tmp_path: Path) -> None:
    text = as_sql([RESULTS[0] | {"cpu_info": "Ann's board, of 4 'big' cores"}])
    assert found(tmp_path, text)[0].origin["cpu"] == "Ann's board, of 4 'big' cores"


def test_a_run_that_was_interrupted_has_what_was_there(tmp_path: Path) -> None:
    text = as_json(RESULTS)
    between = text[: text.index("  },\n") + 3]  # llama-bench writes a result at a time
    assert [each.test for each in found(tmp_path, between)] == ["pp512"]
    results, notes = read(written(tmp_path, text[: len(between) + 100]))
    assert [each.test for each in results] == ["pp512"] and notes == ["ends within a result; 1 before it are read"]
    lines = as_jsonl(RESULTS)
    results, notes = read(written(tmp_path, lines[:-80]))
    assert len(results) == 2 and "ends within a result" in notes[0]


def test_our_own_outputs(tmp_path: Path) -> None:
    machine = {"q4engine": "1.2", "commit": "fedcba9", "cpu": "Synthetic B", "cpus": 4, "pinned": None}
    rows = [Row(MODEL, measured(Case(64, 0), [0.5] * 5)), Row(MODEL, measured(Case(0, 10), [0.2] * 5, [0.4] * 5))]
    texts = {
        "json": to_json(rows, machine),
        "jsonl": "".join(json_line(row, machine) + "\n" for row in rows),
        "csv": "\n".join(csv_lines(rows, machine)),
        "sql": "\n".join(line for at, row in enumerate(rows) for line in sql_lines(row, machine, at == 0)),
    }
    for form, text in texts.items():
        results = found(tmp_path, text)
        speeds = [(each.test, each.origin["engine"], each.rate) for each in results]
        expected = [("pp64", "q4engine", 128.0), ("tg10", "q4engine", 50.0), ("tg10", "llama.cpp", 25.0)]
        assert speeds == expected[: 2 if form == "sql" else 3], form
        assert (results[0].origin["cpu"], results[0].origin["commit"]) == ("Synthetic B", "fedcba9")
        assert (results[0].filename, results[0].settings["threads"]) == ("synthetic.gguf", "2")


def test_our_own_tables(tmp_path: Path) -> None:
    table = Markdown(True, len(MODEL.kind))
    lines = [*table.head(), table.row(Row(MODEL, measured(Case(0, 10), [0.2] * 5, [0.4] * 5)))]
    text = "\n".join([*lines, "", "q4engine: 1.2, commit: fedcba9, cpu: Synthetic B, cpus: 4"])
    ours, theirs = found(tmp_path, text)
    assert (ours.rate, ours.origin["engine"], ours.origin["cpu"]) == (50.0, "q4engine", "Synthetic B")
    assert (theirs.rate, theirs.origin["engine"], ours.bytes) == (25.0, "llama.cpp", 90 * 2**20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("nothing of the kind\n", "holds no results of a benchmark; expected llama-bench's json"),
        ('{"a": 1}\n', "holds no results"),
        ("[\n]\n", "holds no results"),
        (as_json([RESULTS[0] | {"avg_ts": 0.0, "samples_ts": [], "samples_ns": []}]), "line 2: has no speed"),
        (as_json([RESULTS[0] | {"samples_ts": [1.0, -1.0]}]), "samples_ts is '-1.0', expected a number from 0"),
        (as_json([RESULTS[0] | {"n_prompt": 0}]), "is a test of no tokens"),
        (as_json([RESULTS[0] | {"n_prompt": 1.5}]), "no whole number"),
        (as_csv(RESULTS).replace('"24.5', '"many'), "line 3: avg_ts is 'many"),
        (as_csv(RESULTS).replace('"24.5', '"1e999'), "line 3: avg_ts is '1e999"),
        (as_csv(RESULTS)[:-40], "line 4: no CSV: unexpected end of data"),
        (as_csv(RESULTS).replace('"2048",', "", 1), "line 2: .*columns, the head has"),
        (as_sql(RESULTS).replace("'2048', ", "", 1), "values for .* columns"),
        (as_md(RESULTS).replace("| tg128 |", "| fast |"), "line 4: the test is 'fast'"),
        (as_md(RESULTS).replace("| tg128 |", "|"), "line 4: 6 columns, the table's head has 7"),
        (as_md(RESULTS).replace(" ± ", " plus "), "line 3: t/s is "),
        (as_jsonl(RESULTS).replace("4.5", "4,5x", 1), "no JSON"),
        ("[" * 100_000, "holds no results"),
        (as_json([RESULTS[0]]).replace('"samples_ns": [', '"samples_ns": ' + "[" * 100_000), "no JSON: too many"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=message) as caught:
        found(tmp_path, text)
    assert len(str(caught.value).splitlines()) == 1


def test_files_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each limit is met while the file is read."""
    wide = ",".join(f"c{at}" for at in range(200)) + ",avg_ts\n"
    machine = {f"k{at}": at for at in range(201)}
    for name, limit, text, message in (
        ("_MOST_LINES", 3, "words\n" * 4, "line 4: more than 3 lines"),
        ("_MOST_COLUMNS", 200, wide, "201 columns, more than the 200"),
        ("_MOST_COLUMNS", 200, json.dumps({"machine": machine, "results": []}), "201 columns"),
        ("MOST_RESULTS", 2, as_jsonl([RESULTS[0]] * 3), "more than 2 results"),
        ("MOST_RESULTS", 2, as_csv([RESULTS[0]] * 3), "more than 2 results"),
        ("MOST_RESULTS", 2, as_md([RESULTS[0]] * 3), "more than 2 results"),
        ("MOST_SAMPLES", 2, as_json(RESULTS), "more than 2 samples"),
    ):
        with monkeypatch.context() as patch, pytest.raises(AnalysisError, match=message):
            patch.setattr(bench_files, name, limit)
            found(tmp_path, text)


def test_figures_of_a_result() -> None:
    (one,) = of_fields(result(0, 128, [20.0, 25.0, 30.0]), "synthetic")
    assert one.bandwidth == pytest.approx(SIZE * 25.0) and one.spread == pytest.approx(0.2)
    (prompt,) = of_fields(result(128, 0, [20.0]), "synthetic")
    assert prompt.bandwidth is None and prompt.spread is None
    for model in ("synthetic 30B.A3B Q4_K", "synthetic 8x7B Q4_0", "gpt synthetic MoE"):
        (mixture,) = of_fields(result(0, 128, [20.0], model_type=model), "synthetic")
        assert mixture.is_mixture and mixture.bandwidth is None
    (times,) = of_fields({"n_prompt": 100, "n_gen": 0, "samples_ns": [1e9, 5e8]}, "synthetic")
    assert times.samples == (100.0, 200.0) and times.rate == 150.0
    (average,) = of_fields({"n_prompt": 100, "n_gen": 0, "avg_ns": 1e9}, "synthetic")
    assert average.rate == 100.0 and average.model == ""
    with pytest.raises(Wrong, match="has 100001 values"):
        list(of_fields({"n_prompt": 1, "samples_ns": [1] * 100_001}, "synthetic"))


def test_what_a_sweep_exports(tmp_path: Path) -> None:
    plan = synthetic_plan({"threads": [1, 2], "prompt": [16]}, blocks=3)
    path = write_results(tmp_path / "a.sqlite", plan, lambda setup, *_: [0.1 / (setup.number("threads") or 1)])
    exported = to_jsonl(read_results(path))
    results = sorted(found(tmp_path, exported), key=lambda one: one.rate)
    assert [(each.test, each.settings["threads"], len(each.samples)) for each in results] == [
        ("pp16", "1", 3),
        ("pp16", "2", 3),
    ]
    assert [each.rate for each in results] == pytest.approx([10.0, 20.0])
    assert json.loads(exported.splitlines()[0])["engine"] == results[0].origin["engine"] == "synthetic"
