"""Each kind of file that is made to be slow to read, a thousandth of its size: read, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import hostile_files
import pytest
from hostile_files import BENCHMARKS, FUNCTIONS, MEMORY
from hostile_kinds import KINDS

from analysis import bench_files, function_shares, memory_samples
from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.readers.source import Source


@pytest.mark.parametrize("name", KINDS)
def test_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(hostile_files, "SIZE", hostile_files.SIZE // 1000)
    command, make = KINDS[name]
    path = tmp_path / "synthetic"
    path.write_bytes(make())
    lenient = "--lenient" in command
    try:
        if command.startswith(FUNCTIONS):
            assert function_shares.read_functions(path, None, 0.0, lenient).shares
        elif command == MEMORY:
            assert memory_samples.read(Source(path))
        elif command == BENCHMARKS:
            assert bench_files.read(path)
        else:
            table = read(path, lenient=lenient)
            assert len(table.frame) or table.markers or table.meta["format"] == "streamline-log"
    except AnalysisError as problem:
        assert "\n" not in str(problem) and str(problem).isprintable()
