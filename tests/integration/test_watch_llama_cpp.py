"""q4engine watch on real llama.cpp, as llama-cpp-python opens it: Q4_LLAMA_CPP_PYTHON names a Python that has it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

DRIVER = Path(__file__).parents[1] / "support" / "llama_cpp_driver.py"
SECONDS = 900
# Of SmolLM2's graph: 30 layers of 15 nodes that are called one by one, 4 around them, 61 norms each with its product.
LAYERS, NODES = 30, 30 * 15 + 4 + 61
NO_OPERATION = ("", "begin", "end", "barrier")


@pytest.fixture(scope="module")
def peer() -> str:
    named = os.environ.get("Q4_LLAMA_CPP_PYTHON")
    if named is None and importlib.util.find_spec("llama_cpp") is not None:
        named = sys.executable
    if named is None:
        pytest.skip("no llama-cpp-python here (Q4_LLAMA_CPP_PYTHON names a Python that has it)")
    return named


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_and_operations(peer: str, smollm2_path: Path, tmp_path: Path, threads: int) -> None:
    capture, log = tmp_path / "run.csv", tmp_path / "log"
    program = [peer, str(DRIVER), str(smollm2_path), str(threads), str(log)]
    watch = [sys.executable, "-m", "q4engine", "watch", "--events", "none", "--capture", str(capture), "--per-op", "--"]
    alone = run(program)
    watched = run([*watch, *program])
    assert (alone.returncode, watched.returncode) == (7, 7)
    assert (watched.stdout, watched.stderr) == (alone.stdout, alone.stderr)

    table = pd.read_csv(capture, comment="#", keep_default_na=False, dtype=str)
    whole = table[table["op"] == ""]
    found = [" ".join(row) for row in whole[["n_past", "n_eval", "sequences"]].to_numpy()]
    assert found == log.read_text().splitlines()
    assert "\n# other_graphs: 1 that" in capture.read_text()  # the shift

    work = table[~table["op"].isin(NO_OPERATION)]
    assert set(work.groupby(["call", "thread"]).size()) == {NODES}
    assert sorted(work["thread"].unique()) == [str(i) for i in range(threads)]
    assert "unknown" not in set(work["op"])
    gate = work[work["tensor"] == f"blk.{LAYERS - 1}.ffn_gate"].iloc[0]
    assert gate[["type", "shape", "weight_bytes"]].tolist() == ["Q4_0", "1536x576", str(1536 * 576 * 18 // 32)]
    times = table[["start_ns", "duration_ns"]].astype(int)
    by_thread = (
        times.assign(call=table["call"], thread=table["thread"]).groupby(["call", "thread"])["duration_ns"].sum()
    )
    for call, total in by_thread.xs("", level="thread").items():
        assert (by_thread.loc[call] == total).all()


def test_which_operations_make_the_difference(peer: str, smollm2_path: Path, tmp_path: Path) -> None:
    """Both engines on the same work: the operations' names are the same, and their differences make the whole one."""
    words = [sys.executable, "-m", "q4engine", "bench", str(smollm2_path), "--vs", "llama-cpp", "--vs-python", peer]
    explained = run([*words, "--explain", "-p", "24", "-n", "12", "-t", "2", "--capture", str(tmp_path)])
    assert explained.returncode == 0, explained.stderr
    words_of_it = " ".join(explained.stdout.split())
    assert "taken together: B does quantize_activations on the way of another operation" in words_of_it
    ours, theirs = sorted(tmp_path.glob("*.csv"), key=lambda path: len(path.name))
    compared = run([sys.executable, "-m", "analysis.compare", str(ours), str(theirs), "--json"])
    found = json.loads(compared.stdout)
    assert [verdict["phase"] for verdict in found["verdicts"]] == ["prefill", "decode"]
    for phase in ("prefill", "decode"):
        parts = {c["name"]: c for c in found["changes"] if (c["phase"], c["kind"]) == (phase, "operation")}
        assert 0.95 <= found["explained"][phase] <= 1.05
        both = {name for name, part in parts.items() if part["left"] and part["right"]}
        products = {"attn_q+attn_k+attn_v", "attn_output", "ffn_gate+ffn_up", "ffn_down", "output"}
        assert both >= products | {"attention", "rms_norm", "kv_store", "embedding", "barrier"}
        assert not {"add", "quantize_activations", "rope"} & set(parts)
    rates = {entry["name"]: entry for entry in found["rates"] if entry["phase"] == "decode"}
    for name in ("attn_output", "ffn_down", "output"):
        assert rates[name]["left"]["bytes"] == rates[name]["right"]["bytes"] > 0
