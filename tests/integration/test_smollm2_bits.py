"""The arithmetic contract on a real model: one fingerprint on every path of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import bits
import pytest
import smollm2

from q4engine import cli

BEST = bits.feature_lists()[-1]


def test_the_quantised_file_is_the_same_everywhere(smollm2_path: Path) -> None:
    assert bits.file_sha256(smollm2_path) == smollm2.expected()["model"]


@pytest.mark.parametrize("features", bits.feature_lists())
def test_every_instruction_set(features: str, smollm2_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q4_CPU_FEATURES", features)
    found = smollm2.outcome(smollm2_path, 2, 512)
    assert found.sha256 == smollm2.expected()["logits"], sorted(found.kernels)
    assert any(name.endswith("portable") for name in found.kernels) == (features == "none")


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("n_batch", [1, 7, 512])
def test_every_thread_count_and_batch(
    n_threads: int, n_batch: int, smollm2_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("Q4_CPU_FEATURES", BEST)
    assert smollm2.outcome(smollm2_path, n_threads, n_batch).sha256 == smollm2.expected()["logits"]


def test_the_command_prints_it(smollm2_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fingerprint", str(smollm2_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == smollm2.expected()["logits"]
