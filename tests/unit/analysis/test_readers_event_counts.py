"""Tables of counts that no tool printed. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, written

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.readers.event_counts import FORMAT, is_json, is_table

WANTED = [("", "CPU_CYCLES", 1000.0, "ok", None), ("", "STALL_BACKEND", 500.0, "ok", None)]
TABLES = {
    "Markdown": "| Event | Count |\n|---|---:|\n| cycles | 1,000 |\n| `stall_backend` | 500 |\n",
    "a box": "┌────────┬───┐\n│ event  │ n │\n├────────┼───┤\n│ cycles │ 1,000 │\n│ stall_backend │ 500 │\n└───┴───┘\n",
    "commas": "event,count\ncycles,1000\nstall_backend,500\n",
    "an index": ",event,count\n0,cycles,1000\n1,stall_backend,500\n",
    "quotes": '"event","count"\n"cycles","1,000"\n"stall_backend","500"\n',
    "semicolons": "name;value\ncycles;1.000\nstall_backend;500\n",
    "tabs": "cycles\t1000\nstall_backend\t500\n",
    "counts before names": "| 1,000 | cycles |\n| 500 | stall_backend |\n",
    "shares beside": "event,share,count\ncycles,100,1000\nstall_backend,50,500\n",
    "lines": "CPU cycles: 1000\nstall_backend: 500\n",
    "a list": "- `cycles`: 1,000\n- `stall_backend`: 500\n",
    "TOML": "[counters]\ncycles = 1_000\nstall_backend = 500\n",
    "columns of blanks": "               count\ncycles          1000\nstall_backend    500\n",
    "wide": "cycles,stall_backend\n1000,500\n",
    "prose around": "What it took:\n\n| cycles | 1,000 |\n| stall_backend | 500 |\n\nNot bad.\n",
    "a name that is no event": "event,count\ncycles,1000\nwheels,4\nstall_backend,500\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path: Path, name: str) -> None:
    table = parsed(tmp_path, TABLES[name])
    assert table.meta["format"] == FORMAT and not table.runs
    assert readings(table) == WANTED
    assert any("of no tool" in note for note in table.notes)
    assert ("wheels" in str(table.notes)) == ("wheels" in TABLES[name])


def test_columns_of_counts_are_runs(tmp_path: Path) -> None:
    head = "| Event | before | after | change |\n|--|--|--|--|\n"
    table = parsed(tmp_path, head + "| cycles | 1,000 | 800 | -20 % |\n| stall_backend | 500 | 80 | -84 % |\n")
    assert readings(table) == WANTED
    assert readings(table.runs[0]) == [("", "CPU_CYCLES", 800.0, "ok", None), ("", "STALL_BACKEND", 80.0, "ok", None)]
    assert [one.meta["target"] for one in (table, *table.runs)] == ["before", "after"]


def test_rows_below_names_are_runs(tmp_path: Path) -> None:
    table = parsed(tmp_path, "test,cycles,seconds,stall_backend\npp,1000,1.5,500\ntg,900,2.5,-\n")
    assert readings(table) == WANTED and table.meta["target"] == "pp 1.5"
    assert readings(table.runs[0]) == [("", "CPU_CYCLES", 900.0, "ok", None)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("event,count\ncycles,1000\nstall_backend,500\nr24,1.5.2\n", "line 4: r24: '1.5.2' is no number"),
        ("event,count\ncycles,1000\nstall_backend,500\nr24,99999999999999999999999\n", "line 4: r24: the count 9999"),
        ("cycles,r24\n1000,500\n1000,x\n", "line 3: r24: the count should be a number, found 'x'"),
        (
            "| cycles | fast |\n| r24 | 5 |\n| stall_frontend | 5 |\n| r8 | - |\n",
            "line 1: cycles: the count should be a number, found 'fast'",
        ),
        ("cycles,1000\nr24,500\n" + "x" * 3000 + "\n", "line 3: 3000 characters"),
        ("cycles,5\n" + "".join(f"r1{n:05x},{n}\n" for n in range(10_001)), "more than 10000 counts in a table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(AnalysisError) as caught:
        read(written(tmp_path, text))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["name,age\nalice,31\nbob,32\n", "cycles,1000\n", "red: 5\nrad: 7\n", "cycles and instructions, 5 of them\n"],
)
def test_what_is_no_table_of_counts(text: str) -> None:
    assert not is_table(text.splitlines()) and not is_json(text.splitlines())
