"""q4engine tokenize, inspect and fingerprint on a tiny random model."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path

import pytest
from cli_runs import Cli
from vocab_files import BYTE_TOKENS, open_pairs, vocab_pairs

from q4engine.cli import fingerprint as fingerprint_command

RAW = ("--no-chat", "--temp", "0", "-t", "1")
PLAIN = "neon" if platform.machine() in ("aarch64", "arm64") else "base"  # operations of a CPU without extensions


def test_tokenize(q4: Cli, tiny: Path) -> None:
    lines = q4("tokenize", tiny, "-p", "a<|im_end|>\\xff").out.splitlines()
    assert lines[0] == "    97 -> 'a'" and lines[1].endswith(" -> '<|im_end|>'")
    assert q4("tokenize", tiny, "-p", "123", "--ids").out == "[49, 50, 51]\n"
    assert q4("tokenize", tiny, "-p", "123", "--count").out == "3\n"
    assert q4("tokenize", tiny, stdin=b"1\n").out == "    49 -> '1'\n"
    data = json.loads(q4("tokenize", tiny, "-p", "é", "--json").out)
    assert data == {"count": 2, "ids": [0xC3, 0xA9], "pieces": ["\\xc3", "\\xa9"]}
    assert len(json.loads(q4("tokenize", tiny, "-p", "<|im_end|>", "--no-parse-special", "--ids").out)) > 1


def test_tokenize_needs_no_model(q4: Cli, tmp_path: Path) -> None:
    pairs = vocab_pairs("gpt2", BYTE_TOKENS, merges=[])
    path = open_pairs(tmp_path, pairs).path
    assert q4("tokenize", path, "-p", "ab", "--ids").out == "[97, 98]\n"


def test_inspect(q4: Cli, tiny: Path) -> None:
    out = q4("inspect", tiny).out
    assert "general.architecture = 'llama'" in out and "token_embd.weight" in out and "(320 of STRING)" in out
    data = json.loads(q4("inspect", tiny, "--json").out)
    assert data["metadata"]["tokenizer.ggml.tokens"]["length"] == 320
    embedding = next(row for row in data["tensors"] if row["name"] == "token_embd.weight")
    assert embedding == {"name": "token_embd.weight", "type": "Q4_0", "shape": [320, 64], "bytes": 320 * 36}


def test_inspect_kernels(q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q4_CPU_FEATURES", "none")
    out = q4("inspect", tiny, "--kernels", "-t", "1").out
    assert "CPU features that kernels may use: none" in out and "Q4_0" in out
    data = json.loads(q4("inspect", tiny, "--kernels", "--json").out)
    assert data["cpu_features"] == [] and data["kernels"][0]["type"] == "Q4_0" and data["operations"] == PLAIN


def test_inspect_shows_what_the_engine_does_not_run(q4: Cli, tmp_path: Path) -> None:
    from gguf_bytes import F32, STRING, File, Tensor, array, pair

    pairs = [
        pair("general.architecture", STRING, "mamba"),
        pair("evil", STRING, "\x1b[2J\n" + "x" * 500),
        pair("nan", F32, float("nan")),
        array("floats", F32, [1.5] * 9),
    ]
    path = tmp_path / "synthetic-other.gguf"
    path.write_bytes(File(pairs=pairs, tensors=[Tensor("a\x1bb", (32, 1), type_id=99)]).build())
    result = q4("inspect", path)
    assert result.code == 0 and "'mamba'" in result.out
    assert re.search(r"a\\x1bb +99 +1 x 32 +unknown\n", result.out)
    assert "\x1b" not in result.out and max(map(len, result.out.splitlines())) < 300
    data = json.loads(q4("inspect", path, "--json").out)
    assert data["metadata"]["nan"] == "nan" and data["metadata"]["floats"]["first"] == [1.5] * 6
    refused = q4("inspect", path, "--kernels")
    assert refused.code == 1 and refused.err.count("\n") == 1 and "mamba" in refused.err


def test_fingerprint(q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = json.loads(q4("fingerprint", tiny, "--json", "-t", "1").out)
    monkeypatch.setenv("Q4_CPU_FEATURES", "none")
    two = json.loads(q4("fingerprint", tiny, "--json", "-t", "2", "-b", "7").out)
    assert one["sha256"] == two["sha256"] and one["tokens"] == two["tokens"] and len(one["tokens"]) == 8
    assert one["n_prompt"] > 40 and two["operations"] == PLAIN
    assert json.loads(q4("fingerprint", tiny, "--json", "-n", "7").out)["sha256"] != one["sha256"]
    assert json.loads(q4("fingerprint", tiny, "--json", "-p", "x").out)["sha256"] != one["sha256"]
    text = q4("fingerprint", tiny).out
    assert text.startswith(f"{one['sha256']}  {tiny}\n") and "kernels: " in text


def test_fingerprint_is_the_hash_of_the_logits(tiny: Path) -> None:
    import hashlib

    import numpy as np

    from q4engine.engine import Engine

    engine = Engine.load(tiny, n_threads=1)
    result = fingerprint_command.fingerprint(engine.session(), [1, 2, 3], 2)
    session = engine.session()
    calls = [session.decode([1, 2, 3]), session.decode(result.tokens[:1]), session.decode(result.tokens[1:])]
    assert result.sha256 == hashlib.sha256(np.concatenate(calls).astype("<f4").tobytes()).hexdigest()
    assert result.tokens == [int(np.argmax(logits)) for logits in calls[:2]]
    assert result.n_prompt == 3
