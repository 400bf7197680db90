"""Speculation on aarch64: calls of a few tokens run other kernels than single ones, and the text is the same."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import speculated

pytestmark = pytest.mark.skipif(platform.machine() not in ("aarch64", "arm64"), reason="runs on aarch64")


def test_guesses_change_no_text(tmp_path: Path) -> None:
    target, draft = speculated.models(tmp_path, n_threads=1)
    found = [speculated.differences(target, draft, prompt, 16) for prompt in speculated.prompts(4)]
    assert [wrong for wrong, _ in found if wrong] == []
    assert sum(accepted for _, accepted in found) > 0
