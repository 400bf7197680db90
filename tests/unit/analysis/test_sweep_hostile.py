"""Files of sweeps that are programs, or damaged: each is one line for the report, the export and the next sweep."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from swept import synthetic_plan, write_results

from analysis import sweep_file, sweep_results
from analysis.errors import AnalysisError
from analysis.reports import sweep_report, text
from analysis.sweep_file import MOST_BLOCKS
from q4engine.errors import Q4Error
from q4engine.sweep.results import Results, read_results

PLAN = synthetic_plan({"threads": [1, 2]}, blocks=2)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"

CASES = {
    "a view for a table": (
        f"DROP TABLE samples; CREATE VIEW samples AS {ENDLESS} SELECT 1 AS run, 'prefill' AS phase, i AS number, "
        "1 AS tokens, 1.0 AS seconds FROM n",
        "has a view 'samples' that q4engine sweep has not made",
    ),
    "columns that are calculated": (
        "DROP TABLE facts; CREATE TABLE facts (id INTEGER PRIMARY KEY, hash TEXT, json TEXT AS (hex(zeroblob(9))))",
        "has a table 'facts' that",
    ),
    "no index": (
        "CREATE TABLE other AS SELECT * FROM runs; DROP TABLE runs; ALTER TABLE other RENAME TO runs",
        "has a table 'runs' that",
    ),
    "a trigger": (
        f"CREATE TRIGGER more AFTER INSERT ON runs BEGIN INSERT INTO facts (hash, json) {ENDLESS} SELECT i, '' FROM n; "
        "END",
        "has a trigger 'more' that",
    ),
    "text for a number": ("UPDATE samples SET seconds = 'a'", "samples: seconds is 'a', a str"),
    "bytes for a text": ("UPDATE runs SET reason = x'00ff'", r"runs: reason is b'\x00\xff', a bytes"),
    "no time": ("UPDATE samples SET seconds = 0", "a sample of 10 tokens in 0.0 s"),
    "endless time": ("UPDATE samples SET seconds = 9e999", "a sample of 10 tokens in inf s"),
    "a block far away": (f"UPDATE runs SET block = {MOST_BLOCKS} WHERE block = 1", "a run of block 10000"),
    "a state of its own": ("UPDATE runs SET state = 'well'", "'well'"),
    "no combination": ("DELETE FROM combinations", ": "),
    "facts that are none": ("UPDATE facts SET json = '[1]'", "'[1]' is no JSON object"),
    "facts in facts": (f"UPDATE facts SET json = '{'[' * 9000}'", "is no JSON object"),
    "facts of nothing": (f"UPDATE facts SET json = '[{'[],' * 700_000}[]]'", ": "),
    "a view for the tokens": (
        f"DROP TABLE tokens; CREATE VIEW tokens AS {ENDLESS} SELECT 1 AS run, i AS n_past, 1.0 AS seconds FROM n",
        "has a view 'tokens' that",
    ),
    "a token before all": ("INSERT INTO tokens VALUES (1, -1, 0.1)", "a token behind -1 took 0.1 s"),
    "a token without an end": ("INSERT INTO tokens VALUES (1, 1, 9e999)", "a token behind 1 took inf s"),
    "a perplexity that is none": ("INSERT INTO perplexities VALUES ('a', '', 0, 1, 1)", "a perplexity of 0.0 with"),
    "a perplexity of bytes": ("INSERT INTO perplexities VALUES (x'00', '', 1, 1, 1)", "perplexities: model is b'"),
    "text of another time": ("PRAGMA user_version = 3", "has version 3 of the results' format, expected 2"),
    "older than it is": ("PRAGMA user_version = 1", "has a table 'combinations' that"),
}


@pytest.mark.parametrize("name", CASES)
def test_damaged_results(name: str, tmp_path: Path) -> None:
    change, told = CASES[name]
    path = write_results(tmp_path / "a.sqlite", PLAN, lambda *_: [0.1])
    with sqlite3.connect(path) as base:
        base.executescript(change)
    base.close()
    reads: list[Callable[[], object]] = [lambda: sweep_results.read(path), lambda: read_results(path)]
    for read in reads[: 1 if "perplexity" in name else 2]:  # the runs have none
        with pytest.raises((AnalysisError, Q4Error)) as error:
            read()
        assert told in str(error.value) and "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_sweep_does_not_go_on_with_such_a_file(tmp_path: Path) -> None:
    path = write_results(tmp_path / "a.sqlite", PLAN, lambda *_: [0.1])
    with sqlite3.connect(path) as base:
        base.executescript(CASES["a trigger"][0])
    base.close()
    with pytest.raises(Q4Error, match=r"has a trigger 'more' that .*; -o names another file"):
        Results(path)


def test_what_people_add_to_a_file_is_theirs(tmp_path: Path) -> None:
    path = write_results(tmp_path / "a.sqlite", PLAN, lambda *_: [0.1])
    with sqlite3.connect(path) as base:
        base.executescript("CREATE VIEW fast AS SELECT * FROM samples; CREATE INDEX own ON samples (tokens); ANALYZE")
    base.close()
    assert len(read_results(path)) == 4 and list(sweep_results.read(path).times) == ["prefill"]
    Results(path).close()


def test_texts_steer_no_terminal(tmp_path: Path) -> None:
    path = write_results(tmp_path / "a.sqlite", PLAN, lambda *_: [0.1])
    with sqlite3.connect(path) as base:
        base.executescript(
            "UPDATE runs SET state = 'noisy', reason = 'r' || char(27); UPDATE about SET value = 'n' || char(10);"
            "UPDATE combinations SET model = 'm' || char(27) || threads;"
            "UPDATE about SET value = '{}' WHERE key <> 'name';"
            """UPDATE facts SET json = '{"cpu": "c\\u001b", "commit": "k\\u001b"}';"""
            "INSERT INTO components SELECT id, 'prefill', 'o' || char(27), 10, 0.1 FROM runs"
        )
    base.close()
    shown = text.render(sweep_report.of_sweep(sweep_results.read(path)), "a")
    assert shown.replace("\n", "").isprintable() and all(f"{letter}\\x1b" in shown for letter in "rmc")


def test_more_setups_and_blocks_than_fit(tmp_path: Path) -> None:
    plan = synthetic_plan({"threads": list(range(1, 150))}, blocks=2)
    path = write_results(tmp_path / "a.sqlite", plan, lambda *_: [0.1])
    with sqlite3.connect(path) as base:
        base.execute(f"UPDATE runs SET block = {MOST_BLOCKS - 1} WHERE id = 1")
    base.close()
    with pytest.raises(AnalysisError, match=f"has 149 setups in {MOST_BLOCKS} blocks, expected at most"):
        sweep_results.read(path)


def test_tables_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_results(tmp_path / "a.sqlite", synthetic_plan({"threads": [1, 2, 3]}, blocks=2), lambda *_: [0.1])
    for table, n in (("combinations", 3), ("runs", 6)):
        monkeypatch.setitem(sweep_file._MOST_OF, table, n)
        sweep_results.read(path)
        monkeypatch.setitem(sweep_file._MOST_OF, table, n - 1)
        with pytest.raises(AnalysisError, match=f"has more than {n - 1} {table}"):
            sweep_results.read(path)
        monkeypatch.setitem(sweep_file._MOST_OF, table, n)
