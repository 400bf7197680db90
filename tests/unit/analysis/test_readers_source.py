"""Files, pipes and standard input. All input is synthetic."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.readers.source import Source

ROWS = b"5,,cycles,100,100.00,,\n6,,instructions,100,100.00,,\n"


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    opened: list[io.TextIOWrapper] = []

    def give(data: bytes) -> None:
        reader, writer = os.pipe()

        def fill() -> None:
            with os.fdopen(writer, "wb") as end:
                end.write(data)

        threading.Thread(target=fill, daemon=True).start()
        opened.append(io.TextIOWrapper(os.fdopen(reader, "rb")))
        monkeypatch.setattr("sys.stdin", opened[-1])

    yield give
    for pipe in opened:
        pipe.close()


def test_standard_input(standard_input: Callable[[bytes], None]) -> None:
    standard_input(ROWS)
    table = read("-")
    assert table.frame["value"].to_list() == [5, 6]
    assert table.meta["path"] == "-"


def test_a_pipe_is_read_once_though_readers_look_more_often(standard_input: Callable[[bytes], None]) -> None:
    title = b" Performance counter stats for 'x':\n\n   5 cycles\n"
    standard_input(b"a line of output\n" * 140_000 + title)
    table = read("-")
    assert table.frame["value"].to_list() == [5]
    assert table.notes == ["140000 line(s) around perf's table skipped"]
    standard_input(b"a line of output\n" * 40_000)
    with pytest.raises(AnalysisError, match="-: no known capture format"):
        read("-")


def test_a_named_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    threading.Thread(target=lambda: path.write_bytes(ROWS), daemon=True).start()
    assert read(path).frame["value"].to_list() == [5, 6]


def test_lines_twice_and_within_each_other(standard_input: Callable[[bytes], None]) -> None:
    standard_input(b"a\nb\nc\n")
    source = Source("-")
    first, second = source.lines(), source.lines()
    assert [next(first), next(second), next(first)] == [(1, "a"), (1, "a"), (2, "b")]
    assert list(second) == [(2, "b"), (3, "c")]
    assert list(source.lines()) == [(1, "a"), (2, "b"), (3, "c")]
    assert source.holds(b"b\nc") and not source.holds(b"d")
