"""Fixtures of unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cli_runs
import pytest
from annotate_daemon import private_endpoints
from models.tiny import write_tiny

from annotate import Endpoints


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "synthetic tiny.gguf")


@pytest.fixture
def q4(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> cli_runs.Cli:
    """Runs a command (cli_runs.runner)."""
    return cli_runs.runner(capsys, monkeypatch)


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    """Where a daemon of this test alone listens."""
    with private_endpoints() as private:
        yield private
