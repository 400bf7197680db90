"""``q4engine inspect``, and the engine that -t and --backend ask for."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from cli_runs import Cli

from q4engine.cli.loading import kernel_rows, load_engine, new_session
from q4engine.gguf import GGUFFile


def test_a_file_is_shown_with_its_totals(q4: Cli, tiny: Path) -> None:
    data = json.loads(q4("inspect", tiny, "--json").out)
    with GGUFFile.open(tiny) as file:
        assert [tensor["name"] for tensor in data["tensors"]] == list(file.tensors)
        n_bytes = sum(info.n_bytes for info in file.tensors.values())
        n_weights = sum(info.n_elements for info in file.tensors.values())
    assert data["metadata"]["general.architecture"] == "llama"
    assert data["metadata"]["tokenizer.ggml.tokens"]["length"] == 320
    text = q4("inspect", tiny).out
    assert f"metadata, {len(data['metadata'])} keys" in text
    total = text.splitlines()[-1].split()
    assert total == ["all", str(len(data["tensors"])), "tensors", str(n_weights), "weights", str(n_bytes), "bytes"]


def test_kernels_are_counted_by_equal_choices(q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q4_CPU_FEATURES", "none")
    data = json.loads(q4("inspect", tiny, "--kernels", "--json", "-t", "1").out)
    assert data["threads"] == 1 and data["cpu_features"] == []
    assert sum(row["weights"] for row in data["kernels"]) == len(data["weights"])
    assert all(row["gemv"].endswith("portable") for row in data["kernels"])


def test_the_engine_and_session_that_options_ask_for(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = argparse.Namespace(
        threads=1, threads_batch=None, cpu_mask=None, backend="native", ctx_size=600, batch_size=16, numa=None, prio=0
    )
    engine = load_engine(args, tiny)
    assert engine.n_threads == 1 and len(kernel_rows(engine)) <= len(engine.kernels)
    assert new_session(args, engine).n_ctx == 600
    assert "more than the 512 that the model was trained on" in capsys.readouterr().err
    args.ctx_size = 0
    assert new_session(args, engine).n_ctx == 512
    assert capsys.readouterr().err == ""
