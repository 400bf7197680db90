"""Samples from `perf script`: when, where, how many events. A markers file cuts them into phases.

Both shapes are read: one line a sample, and a header line with the call chain below, whose first frame is the function
and whose others are its callers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from analysis.errors import printable
from analysis.events import canonical
from analysis.readers.perf_rows import KEPT
from analysis.readers.source import MOST_SKIPPED, Source

# Time, period and event of a sample; before them stand comm, pid[/tid], [cpu] and flags, behind them the frame, if it
# is on the same line.
_TIMED = re.compile(r"(?<=\s)(\d{1,12}\.\d{1,9}):\s{1,40}(?:(\d{1,20})\s{1,40})?(\S{1,400}):(?=\s|$)")
_PID = re.compile(r"-?\d{1,10}(?:/-?\d{1,10})?")
_CPU = re.compile(r"\[\d{1,6}\]")
_ADDRESS = re.compile(r"[0-9a-f]{1,16}")
_OFFSET = re.compile(r"\+0x[0-9a-f]{1,16}")
# What `-F +srcline`, `+insn`, `+brstack` and others print below a frame or behind it.
_SOURCE_LINE = re.compile(r"\S.{0,1000}?(?::(?:\d{1,9}|\?)|\[[0-9a-f]{1,16}\])(?: \(discriminator \d{1,9}\))?")
_BEHIND = (" insn: ", " ilen: ", " brstack: ", " bpf-output: ")
_BRANCHES = re.compile(r"\s{1,40}0x[0-9a-f]{1,16}/0x[0-9a-f]{1,16}/")
"""Of `-F +brstack`, behind the frame."""
_RECORD = "PERF_RECORD_"
# Most frames of most files, for speed: `_frame` reads them in the same way.
_PLAINEST = re.compile(r"\s*[0-9a-f]{1,16} ([^\s+]{1,1000})\+0x[0-9a-f]{1,16} \(([^\s+()]{0,1000})\)")
LONGEST_LINE = 4096
MOST_FRAMES = 1024
"""Of a sample; perf itself stops at 127 unless it is told otherwise."""
MOST_EVENTS = 1024
"""Each has tables of its own."""
MOST_FUNCTIONS = 100_000

Frame = tuple[str, str]
"""A function's symbol and image."""


class Sample(NamedTuple):
    """time_s: on the clock of `perf record -k`.  period: events that it stands for.  comm: the thread's name.

    callers: of the function, the nearest first, as far as the sample has its call chain.
    """

    time_s: float
    event: str
    period: float
    symbol: str
    image: str
    comm: str = ""
    callers: tuple[Frame, ...] = ()


def read(source: Source) -> tuple[list[Sample], list[str]]:
    """Every sample of the file, in its order, and notes on what was skipped.

    Raises AnalysisError with line and reason; a lenient source skips bad lines.
    """
    state = _State()
    samples: list[Sample] = []
    events: set[str] = set()
    functions: set[str] = set()
    for sample in _samples(source, state):
        samples.append(sample)
        events.add(sample.event)
        functions.add(sample.symbol)
        if len(events) > MOST_EVENTS:
            raise source.error(f"more than {MOST_EVENTS} events")
        if len(functions) > MOST_FUNCTIONS:
            raise source.error(f"samples of more than {MOST_FUNCTIONS} functions")
    if not samples:
        raise source.error("no samples of perf script in it")
    skipped = [f"{state.bad} line(s) skipped, which are not perf script's; the first is line {state.first_bad}"]
    return samples, skipped if state.bad else []


def looks_like(head: Sequence[str]) -> bool:
    """Whether the first lines of a file are perf script's."""
    return any(sample_of(line[:LONGEST_LINE]) for line in head if not line.startswith("#"))


@dataclass
class _State:
    """Lines that are neither samples nor frames: how many, and the first of them."""

    bad: int = 0
    first_bad: int = 0


def _samples(source: Source, state: _State) -> Iterator[Sample]:
    pending: Sample | None = None  # whose frames follow
    frames: list[Frame] = []
    is_chain = False  # below a header
    for row, line in source.lines(blank=True):
        if not line.strip() or line.startswith("#") or _RECORD in line[:LONGEST_LINE]:
            if pending:
                yield _with_frames(pending, frames)
            pending, is_chain = None, False
            continue
        if len(line) > LONGEST_LINE:
            _refuse(source, state, row, f"a line of {len(line)} characters")
        elif not line.startswith("\t") and (header := sample_of(line)):
            if pending:
                yield _with_frames(pending, frames)
            sample, rest = header
            frame = _frame(rest)
            pending, is_chain, frames = (None, False, []) if frame else (sample, True, [])
            if frame:
                yield _with_frames(sample, [frame])
        elif is_chain and (frame := _frame(line)):
            if len(frames) < MOST_FRAMES:
                frames.append(frame)
        elif not is_chain or not _is_beside_a_frame(line.strip()):
            _refuse(source, state, row, f"expected a sample of perf script, found '{printable(line)}'")
    if pending:
        yield _with_frames(pending, frames)


def _refuse(source: Source, state: _State, row: int, problem: str) -> None:
    if not source.lenient:
        raise source.error(f"{problem} (--lenient skips such lines)", row)
    state.bad += 1
    state.first_bad = state.first_bad or row
    if state.bad > MOST_SKIPPED:
        raise source.error(f"more than {MOST_SKIPPED} lines are not perf script's, the first is line {state.first_bad}")


def sample_of(line: str) -> tuple[Sample, str] | None:
    """(sample without its function, what stands behind it), None for another line."""
    match = _TIMED.search(line)
    if not match:
        return None
    comm = _comm(line[: match.start()])
    if comm is None:
        return None
    return Sample(float(match[1]), canonical(match[3]).name, float(match[2] or 1), "", "", comm), line[match.end() :]


@lru_cache(KEPT)
def _comm(before: str) -> str | None:
    """The thread's name from what stands before the time, None where that is no sample's."""
    words = before.split()
    if words and not _CPU.fullmatch(words[-1]) and not _PID.fullmatch(words[-1]):
        words.pop()  # flags
    if words and _CPU.fullmatch(words[-1]):
        words.pop()
    if len(words) < 2 or not _PID.fullmatch(words[-1]):
        return None
    return " ".join(words[:-1])


def _frame(text: str) -> Frame | None:
    """(symbol, image) of `address symbol+offset (image)`, of which perf leaves out what it does not know; else None.

    A symbol of C++ may hold blanks and brackets, a deleted image ends in " (deleted)".
    """
    if plainest := _PLAINEST.fullmatch(text):
        return plainest[1], plainest[2]
    for mark in _BEHIND:
        text = text.partition(mark)[0]
    if "/0x" in text and (branches := _BRANCHES.search(text)):
        text = text[: branches.start()]
    address, _, rest = text.strip().partition(" ")
    return _named(rest.strip()) if _ADDRESS.fullmatch(address) else None


@lru_cache(KEPT)
def _named(rest: str) -> Frame | None:
    """(symbol, image) of a frame without its address."""
    at = rest.rfind("+0x")
    if at > 0 and (offset := _OFFSET.match(rest, at)):
        image = rest[offset.end() :].strip()
        return (rest[:at], image[1:-1] if image.startswith("(") else "") if not image or image[-1] == ")" else None
    deleted = rest.endswith(" (deleted))")
    at = rest.rfind("(", 0, len(rest) - len(" (deleted))") if deleted else len(rest)) if rest.endswith(")") else -1
    if at < 0:
        return rest, ""
    return (rest[:at].strip(), rest[at + 1 : -1]) if at == 0 or rest[at - 1] == " " else (rest, "")


def _is_beside_a_frame(text: str) -> bool:
    """A line of source, of instructions or of branches."""
    return f" {text}".startswith(_BEHIND) or _SOURCE_LINE.fullmatch(text) is not None


def _with_frames(sample: Sample, frames: Sequence[Frame]) -> Sample:
    if not frames:
        return sample
    (symbol, image), *callers = frames
    return Sample(sample.time_s, sample.event, sample.period, symbol, image, sample.comm, tuple(callers))
