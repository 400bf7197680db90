"""Widths, encodings and pipes: no report is wider than COLUMNS, none ends in an exception."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.terminal import aligned, columns, fitted, wrapped

ROOT = Path(__file__).resolve().parents[3]
HEAD = "# q4engine capture\n# format_version: 1\n# emulated: no\n# counters: no PMU – here …\n# read_peak_gbps: 14\n"
NAMES = "call,phase,n_past,n_eval,op,layer,tensor,type,shape,weight_bytes,thread,start_ns,duration_ns\n"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A name and a phase that few encodings have, and more columns than a narrow terminal."""
    lines = []
    for call in range(12):
        lines.append(f"{call},Größe→µ,{call},1,,,,,,,,{1000 * call},1000")
        row = f"blk.0.ffn_gate_{'long_' * 8},Q4_0,576x1536,497664"
        lines += [f"{call},Größe→µ,{call},1,gemv,0,{row},{t},{1000 * call},700" for t in (0, 1)]
        lines += [f"{call},Größe→µ,{call},1,barrier,0,,,,,{t},{1000 * call + 700},300" for t in (0, 1)]
    path = tmp_path / "Größe→synthetic.csv"
    path.write_text(HEAD + NAMES + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def commands(path: Path) -> dict[str, list[str]]:
    name = str(path)
    return {
        "stalls": [name],
        "stalls --group-by": [name, "--group-by", "model,core,file"],
        "compare": [name, name, "--all"],
        "timeline": [name],
        "roofline": [name],
        "scaling": [name],
    }


def run(words: Sequence[str], **environment: str) -> subprocess.CompletedProcess[bytes]:
    env = {key: text for key, text in os.environ.items() if key not in ("COLUMNS", "PYTHONIOENCODING", "LC_ALL")}
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, env=env | environment, cwd=ROOT)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_reports_are_no_wider_than_the_terminal(width: int, capture: Path) -> None:
    for name, words in commands(capture).items():
        done = run([f"analysis.{name.split()[0]}", *words], COLUMNS=str(width), PYTHONIOENCODING="utf-8")
        assert done.returncode == 0, done.stderr
        long = [line for line in done.stdout.decode().splitlines() if len(line) > width]
        assert not long, (name, long)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "cp437"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_no_encoding_breaks_a_report(environment: dict[str, str], capture: Path) -> None:
    for name, words in commands(capture).items():
        done = run([f"analysis.{name.split()[0]}", *words], **environment)
        assert (done.returncode, done.stderr) == (0, b""), name
    shown = run(["analysis.stalls", str(capture)], COLUMNS="60", **environment).stdout
    assert b"\n  Gr" in shown and b"no counters: no PMU" in shown
    assert max(map(len, shown.splitlines())) <= 60
    refused = run(["analysis.stalls", "→absent.csv"], **environment)
    assert refused.returncode == 1 and refused.stderr.count(b"\n") == 1 and b"Traceback" not in refused.stderr


def test_json_loses_nothing_in_ascii(capture: Path) -> None:
    whole, plain = (
        json.loads(run(["analysis.stalls", "--json", str(capture)], PYTHONIOENCODING=encoding).stdout.decode(encoding))
        for encoding in ("utf-8", "ascii")
    )
    assert whole == plain and "Größe→µ" in json.dumps(plain, ensure_ascii=False)


@pytest.mark.parametrize("words", [["analysis.stalls", "x"], ["q4engine", "inspect", "x"]])
def test_nobody_reads_the_error(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", *words], stdout=writing, stderr=writing, cwd=ROOT)
    os.close(writing)
    assert done.returncode == 1


def test_a_closed_pipe_ends_quietly(capture: Path) -> None:
    for name, words in commands(capture).items():
        command = [sys.executable, "-m", f"analysis.{name.split()[0]}", *words]
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=ROOT)
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, b""), name


@pytest.mark.parametrize(
    ("text", "expected"),
    [("80", 80), ("20", 60), ("9999", 200), ("0", None), ("", None), ("-5", None), ("many", None), ("²", None)],
)
def test_columns(text: str, expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", text)
    assert columns() == expected


def test_a_table_that_does_not_fit_goes_on_below(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["name", "first", "second", "third"], ["a" * 20, "1" * 20, "2" * 20, "3" * 5]]
    monkeypatch.setenv("COLUMNS", "60")
    assert aligned(rows, (0,)) == [
        f"{'name':20}  {'first':>20}",
        f"{'a' * 20}  {'1' * 20}",
        "",
        f"{'name':20}  {'second':>20}  third",
        f"{'a' * 20}  {'2' * 20}  33333",
    ]
    monkeypatch.setenv("COLUMNS", "80")
    assert len(aligned(rows)) == 2


@given(st.lists(st.lists(st.text("ab %→", max_size=90), min_size=5, max_size=5), min_size=1, max_size=4))
def test_no_line_is_longer_than_the_terminal(rows: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "60")
        lines = [*aligned(rows, (0, -1), "  "), *fitted(map(" ".join, rows)), *wrapped("  ", " ".join(rows[0]))]
        assert all(len(line) <= 60 for line in lines)
        patch.delenv("COLUMNS")
        whole = aligned(rows)
        assert len(whole) == len(rows)


def test_characters_that_an_encoding_lacks() -> None:
    assert "12 ± 3 µs → ≥ 5 … 語 é".encode("ascii", "q4.readable") == b"12 +- 3 us -> >= 5 ... ? e"
    assert "± µ €".encode("latin-1", "q4.readable") == "± µ ?".encode("latin-1")
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", "q4.readable")
