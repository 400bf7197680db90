"""Sampling on aarch64: the same seed, the same tokens as everywhere."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import sampled

pytestmark = pytest.mark.skipif(platform.machine() not in ("aarch64", "arm64"), reason="runs on aarch64")


def test_the_same_tokens_from_the_same_logits() -> None:
    assert sampled.sampled_ids_sha256() == sampled.EXPECTED_IDS


def test_the_same_tokens_from_the_chain() -> None:
    assert sampled.chain_sha256() == sampled.EXPECTED_CHAIN


def test_the_same_tokens_from_the_command_line(tmp_path: Path) -> None:
    assert sampled.generated_tokens(tmp_path) == sampled.EXPECTED_TOKENS
