"""SmolLM2's fingerprint on aarch64, on this CPU's best kernels: the same as on every other machine."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import smollm2

pytestmark = pytest.mark.skipif(platform.machine() not in ("aarch64", "arm64"), reason="runs on aarch64")


def test_same_bits_as_everywhere(smollm2_path: Path) -> None:
    found = smollm2.outcome(smollm2_path, 2, 512)
    assert found.sha256 == smollm2.expected()["logits"], sorted(found.kernels)
