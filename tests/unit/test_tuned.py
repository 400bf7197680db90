"""Flags that q4engine tune keeps: found again for the same machine and model alone, and never trusted blindly."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from cli_runs import Cli
from models.tiny import TINY_LLAMA, TINY_QWEN2, write_tiny

from q4engine import tuned
from q4engine.bench import tune_runs
from q4engine.bench.placements import Placement
from q4engine.bench.tuning import Rates
from q4engine.cli import tune as tune_command
from q4engine.errors import Q4Error
from q4engine.tuned import Choice

ONE = Choice(1, 2)
CPU = min(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_found_again(tiny: Path, tmp_path: Path) -> None:
    assert tuned.find(tiny) is None
    path = tuned.keep(tiny, ONE, {"gain": 1.5})
    assert path.parent == tmp_path / "cache" / "q4engine" / "tuned"
    assert tuned.find(tiny) == ONE
    copy = tmp_path / "elsewhere.gguf"
    shutil.copyfile(tiny, copy)
    assert tuned.find(copy) == ONE
    assert tuned.find(write_tiny(tmp_path / "other.gguf", TINY_QWEN2)) is None
    assert tuned.find(tmp_path / "missing.gguf") is None
    tuned.keep(tiny, Choice(1, 1, (CPU,)))
    assert tuned.find(tiny) == Choice(1, 1, (CPU,)) and len(list(path.parent.iterdir())) == 1


def test_another_machine_has_its_own(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned.keep(tiny, ONE)
    monkeypatch.setenv("Q4_CPU_FEATURES", "none")
    assert tuned.find(tiny) is None
    monkeypatch.delenv("Q4_CPU_FEATURES")
    monkeypatch.setattr("q4engine.machine.cpu_name", lambda: "another core")
    assert tuned.find(tiny) is None


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 0}, {"threads": 257}, {"threads": True}, {"threads": 1.0}, {"threads_batch": None}, {"cpus": []},
        {"cpus": "0"}, {"cpus": [0, 0]}, {"cpus": [-1]}, {"cpus": [1000]}, {"cpus": [[0]]}, {"kind": "?"},
        {"version": 2},
    ],
)  # fmt: skip
def test_what_is_damaged_is_refused(tiny: Path, change: dict[str, object]) -> None:
    path = tuned.keep(tiny, ONE)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(Q4Error, match=r"[^\n]+$"):
        tuned.find(tiny)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 60000, b"1" * 70000])
def test_what_is_no_json_is_refused(tiny: Path, content: bytes) -> None:
    tuned.keep(tiny, ONE).write_bytes(content)
    with pytest.raises(Q4Error, match="no flags that q4engine tune has kept"):
        tuned.find(tiny)


def test_a_cache_that_cannot_be_written(tiny: Path, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(Q4Error, match="cannot be written"):
        tuned.keep(tiny, ONE)
    assert tuned.find(tiny) is None


def test_commands_take_it_up_and_say_so(q4: Cli, tiny: Path) -> None:
    path = tuned.keep(tiny, Choice(1, 1, (CPU,)))
    words = ["run", tiny, "-p", "abc", "-n", 2, "--temp", 0, "--no-chat", "-c", 64]
    line = f"note: -t 1 -tb 1 -C {CPU}, as q4engine tune found best here for {tiny.name} (--no-tuned: the default)\n"
    result = q4(*words, "--json")
    assert result.err.count(line) == 1 and json.loads(result.out)["threads"] == 1
    for other in (["--no-tuned"], ["-t", 1], ["-tb", 1], ["-C", CPU], ["--backend", "numpy"]):
        assert "tune" not in q4(*words, *other).err
    measured = q4("bench", tiny, "-p", 4, "-n", 2, "-r", 1, "-o", "json")
    assert measured.err.count(line) == 1 and {row["n_threads"] for row in json.loads(measured.out)["results"]} == {1}
    assert "tune" not in q4("bench", tiny, "-p", 4, "-n", 2, "-r", 1, "--no-tuned").err
    path.write_text("{}")
    damaged = q4(*words)
    assert damaged.code == 0 and "no flags that q4engine tune has kept; it is left aside\n" in damaged.err


def test_a_draft_has_the_models_threads(q4: Cli, tiny: Path, tmp_path: Path) -> None:
    draft = write_tiny(tmp_path / "draft.gguf", TINY_LLAMA.with_changes(seed=2))
    tuned.keep(draft, Choice(1, 1, (CPU,)))
    result = q4("run", tiny, "-p", "abc", "-n", 2, "--temp", 0, "--no-chat", "--draft", draft)
    assert result.code == 0 and "q4engine tune" not in result.err


def test_the_command(q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a clock: measurements that take no time, of speeds that are made up."""

    def measure(self: tune_runs.Measurer, placement: Placement) -> Rates:
        return Rates(100.0 * placement.threads, 30.0 if placement == Placement(1) else 10.0)

    monkeypatch.setattr(tune_runs.Measurer, "__call__", measure)
    monkeypatch.setattr("q4engine.bench.placements.placements", lambda: [Placement(2), Placement(1)])
    result = q4("tune", tiny, "--seconds", 1000)
    assert (result.code, result.out) == (0, "-t 1 -tb 2\n")
    assert "1 thread: prompt 100.00, generation 30.00 tokens/s\n" in result.err
    assert " times as fast as the default; kept in " in result.err
    assert tuned.find(tiny) == Choice(1, 2)
    data = json.loads(q4("tune", tiny, "--minutes", 1, "--json").out)
    assert data["flags"] == "-t 1 -tb 2" and data["complete"] and len(data["measured"]) == 2
    kept = json.loads(Path(data["kept"]).read_text())
    assert kept["found"]["gain"] == data["gain"] > 1.03
    monkeypatch.setattr("q4engine.bench.placements.placements", lambda: [Placement(1)])
    monkeypatch.setattr(tune_command, "_SECONDS", 0.5)
    alone = q4("tune", tiny)
    assert alone.out == "-t 1 -tb 1\n" and "the default: nothing is faster; kept in " in alone.err


def test_flags_that_cannot_be_kept_are_told(q4: Cli, tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("a file")
    monkeypatch.setattr(tune_runs.Measurer, "__call__", lambda self, placement: Rates(100.0, 30.0))
    monkeypatch.setattr("q4engine.bench.placements.placements", lambda: [Placement(1)])
    plain, data = q4("tune", tiny, "--seconds", 1), q4("tune", tiny, "--seconds", 1, "--json")
    assert (plain.code, plain.out) == (1, "-t 1 -tb 1\n") and "cannot be written" in plain.err.splitlines()[-1]
    assert data.code == 1 and (found := json.loads(data.out))["flags"] == "-t 1 -tb 1" and found["kept"] is None


def test_a_measurement(tiny: Path) -> None:
    rates = tune_runs.Measurer(tiny, 0.0)(Placement(1, (CPU,)))
    assert rates.prefill > 0 and rates.decode > 0


def test_mistakes_of_the_command(q4: Cli, tiny: Path, tmp_path: Path) -> None:
    assert q4("tune", tiny, "--seconds", 0).code == 2
    assert q4("tune", tiny, "--seconds", 5, "--minutes", 1).code == 2
    assert q4("tune").code == 2
    missing = q4("tune", tmp_path / "none.gguf", "--seconds", 1)
    assert missing.code == 1 and missing.err.endswith("none.gguf: no such file\n")
    assert not (tmp_path / "cache").exists()
