"""Quantised bytes on aarch64: the hashes of every other machine."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from quantize_samples import FILE_SHA256, ROWS_SHA256, WEIGHED_SHA256, file_sha256, rows_sha256, weighed_sha256

from q4engine.gguf import TensorType

pytestmark = pytest.mark.skipif(platform.machine() not in ("aarch64", "arm64"), reason="runs on aarch64")


@pytest.mark.parametrize("kind", ROWS_SHA256, ids=lambda kind: kind.name)
def test_searched_rows(kind: TensorType) -> None:
    assert rows_sha256(kind) == ROWS_SHA256[kind]


def test_rows_with_an_importance() -> None:
    assert weighed_sha256() == WEIGHED_SHA256


@pytest.mark.parametrize("target", FILE_SHA256)
def test_quantised_files(tmp_path: Path, target: str) -> None:
    assert file_sha256(tmp_path, target) == FILE_SHA256[target]
