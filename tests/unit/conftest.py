"""Fixtures of unit tests."""

from __future__ import annotations

from pathlib import Path

import cli_runs
import pytest
from make_models.tiny import write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "synthetic tiny.gguf")


@pytest.fixture
def q4(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> cli_runs.Cli:
    """Runs a command (cli_runs.runner)."""
    return cli_runs.runner(capsys, monkeypatch)
