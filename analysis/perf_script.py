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
    r"^\s*(\S.*?)\s+(-?\d+)(?:/(-?\d+))?\s+(?:\[(\d+)\]\s+)?(?:[.\w]+\s+)?(\d+\.\d+):\s+(?:(\d+)\s+)?(\S+):\s*(.*)$"
)
# address, then symbol+offset and image, each of which perf leaves out where it is not asked for it or does not know it.
# A symbol of C++ may hold blanks and brackets, a deleted image ends in " (deleted)".
_FRAME = re.compile(
    r"^\s*[0-9a-f]+(?:\s+(?:(?P<symbol>.+)\+0x[0-9a-f]+|(?P<unknown>\[unknown\])|(?P<bare>(?!\().+?)))?"
    r"(?:\s+\((?P<image>.*)\))?\s*$"
)
_LONGEST_LINE = 4096


@dataclass(frozen=True)
class Sample:
    """time_s: on the clock of `perf record -k`.  period: events that it stands for.  comm: the thread's name."""

    time_s: float
    event: str
    period: float
    symbol: str
    image: str
    comm: str = ""


def read(path: Path, lenient: bool = False) -> tuple[list[Sample], list[str]]:
    """Every sample of the file, in its order, and notes on what was skipped.

    Raises AnalysisError with line and reason; `lenient` skips bad lines.
    """
    bad: list[int] = []
    try:
        with path.open(encoding="utf-8", errors="strict") as lines:
            samples = list(_samples(path, lines, bad if lenient else None))
    except UnicodeDecodeError:
        raise AnalysisError("no text in UTF-8", path=path) from None
    except OSError as error:
        raise AnalysisError(error.strerror or str(error), path=path) from error
    if not samples:
        raise AnalysisError("no samples of perf script in it", path=path)
    skipped = [f"{len(bad)} line(s) skipped, which are not perf script's; the first is line {bad[0]}"] if bad else []
    return samples, skipped


def looks_like(head: str) -> bool:
    """Whether the first lines of a file are perf script's."""
    return any(_HEADER.match(line[:_LONGEST_LINE]) for line in head.splitlines() if not line.startswith("#"))


def _samples(path: Path, lines: Iterable[str], bad: list[int] | None) -> Iterator[Sample]:
    """`bad` takes the numbers of lines that are neither samples nor frames; None: the first of them is an error."""
    pending: Sample | None = None
    is_chain = False  # below a header: frames, of which the first is the function
    for row, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip() or text.startswith("#"):
            if pending:
                yield pending
            pending, is_chain = None, False
            continue
        if len(text) > _LONGEST_LINE:
            problem = f"a line of {len(text)} characters"
        elif not text.startswith("\t") and (header := _HEADER.match(text)):
            if pending:
                yield pending
            sample = _sample(header)
            frame = _FRAME.match(header[8]) if header[8] else None
            pending, is_chain = (None, False) if frame else (sample, True)
            if frame:
                yield _at(sample, frame)
            continue
        elif is_chain and (frame := _FRAME.match(text)):
            if pending:
                yield _at(pending, frame)
            pending = None
            continue
        else:
            problem = f"expected a sample of perf script, found '{printable(text)}'"
        if bad is None:
            raise AnalysisError(problem, path=path, row=row)
        bad.append(row)
    if pending:
        yield pending


def _sample(header: re.Match[str]) -> Sample:
    return Sample(float(header[5]), canonical(header[7]).name, float(header[6] or 1), "", "", header[1])


def _at(sample: Sample, frame: re.Match[str]) -> Sample:
    symbol = frame["symbol"] or frame["unknown"] or frame["bare"] or ""
    return Sample(sample.time_s, sample.event, sample.period, symbol, frame["image"] or "", sample.comm)
