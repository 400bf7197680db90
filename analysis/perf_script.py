"""Samples from `perf script`: when, where, how many events. A markers file cuts them into phases.

Both shapes are read: one line a sample, and a header line with the call chain below, whose first frame is the function.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import AnalysisError, printable
from analysis.events import canonical

# comm, pid[/tid], [cpu], time, period, event; comm may hold blanks, so the line is anchored at the time.
_HEADER = re.compile(
    r"^\s*(\S.*?)\s+(\d+)(?:/(\d+))?\s+(?:\[(\d+)\]\s+)?(?:[.\w]+\s+)?(\d+\.\d+):\s+(?:(\d+)\s+)?(\S+):\s*(.*)$"
)
_FRAME = re.compile(r"^\s*([0-9a-f]+)\s+(.+?)(?:\+0x[0-9a-f]+)?\s+\((.*)\)\s*$")
_LONGEST_LINE = 4096


@dataclass(frozen=True)
class Sample:
    """time_s: on the clock of `perf record -k`.  period: events that the sample stands for."""

    time_s: float
    event: str
    period: float
    symbol: str
    image: str


def read(path: Path, lenient: bool = False) -> list[Sample]:
    """Every sample of the file, in its order. Raises AnalysisError with line and reason; `lenient` skips bad lines."""
    try:
        with path.open(encoding="utf-8", errors="strict") as lines:
            samples = list(_samples(path, lines, lenient))
    except UnicodeDecodeError:
        raise AnalysisError("no text in UTF-8", path=path) from None
    except OSError as error:
        raise AnalysisError(error.strerror or str(error), path=path) from error
    if not samples:
        raise AnalysisError("no samples of perf script in it", path=path)
    return samples


def looks_like(head: str) -> bool:
    """Whether the first lines of a file are perf script's."""
    return any(_HEADER.match(line) for line in head.splitlines() if not line.startswith("#"))


def _samples(path: Path, lines: Iterable[str], lenient: bool) -> Iterator[Sample]:
    pending: Sample | None = None
    for row, line in enumerate(lines, 1):
        text = line.rstrip("\n")
        if len(text) > _LONGEST_LINE:
            raise AnalysisError(f"a line of {len(text)} characters", path=path, row=row)
        if not text.strip() or text.startswith("#"):
            if pending:
                yield pending
            pending = None
            continue
        header = _HEADER.match(text)
        if header:
            if pending:
                yield pending
            sample = _sample(header)
            frame = _FRAME.match(header[8])
            pending = None if frame else sample
            if frame:
                yield Sample(sample.time_s, sample.event, sample.period, frame[2], frame[3])
        elif pending and not pending.symbol and (frame := _FRAME.match(text)):
            pending = Sample(pending.time_s, pending.event, pending.period, frame[2], frame[3])
        elif not (pending and pending.symbol) and not lenient:
            raise AnalysisError(f"expected a sample of perf script, found '{printable(text)}'", path=path, row=row)
    if pending:
        yield pending


def _sample(header: re.Match[str]) -> Sample:
    return Sample(float(header[5]), canonical(header[7]).name, float(header[6] or 1), "", "")
