"""Runs of usual rows (`usual_rows`) go to the table as columns, where hardly two lines of a block are spelled alike.

Between them, and for whatever else a line says, lines come one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np

from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_rows import PerfRow
from analysis.readers.shape_blocks import FEWEST, Lines
from analysis.readers.shapes import METRIC, Shape
from analysis.readers.usual_rows import NUMBERS, Words

AT_ONCE = 4096
SHORTEST = 16
"""Rows for which columns are worth it."""
FEW_TAKEN = 0.5
"""Of the lines looked at: with fewer the look costs more than it saves."""

_TIME, _COUNT, _SHARE, _ERROR = (NUMBERS.index(name) for name in ("time", "count", "share", "error"))
_NAMES = {"scope": "scope", "event": "event", "status": "status", "unit": "unit", "source": "spelling"}
"""The table's columns of names, and what they are called in the row of a ratio."""
_UNKNOWN = -1
_GROWTH = 1024


class Run(NamedTuple):
    """Rows that follow each other, each with a time and a count. codes: [n] of their words. numbers: [n, NUMBERS]."""

    codes: np.ndarray
    numbers: np.ndarray

    @property
    def times(self) -> np.ndarray:
        times: np.ndarray = self.numbers[:, _TIME]
        return times


class Taker(Protocol):
    """What a reader knows of the lines above."""

    def may_take(self) -> bool:
        """Whether usual rows are read here as they stand."""

    def take(self, run: Run) -> None:
        """Adds the run (`Runs.add`)."""


class Runs:
    """The usual rows of one file. shapes: by their codes."""

    def __init__(self, lines: Lines, builder: PerfBuilder) -> None:
        self.lines = lines
        self.builder = builder
        self.shapes: list[Shape] = []
        self._codes: dict[Words, int] = {}
        self._running = np.empty(0)  # of rows without a share of their own
        self._names = _unnamed(0)  # of rows, of their ratios
        self._n_looked_at = self._n_taken = 0

    def besides(self, lines: Iterator[tuple[int, str]], taker: Taker | None = None) -> Iterator[tuple[int, str]]:
        """(row, line) of a block's lines (`Lines.of_block`) besides those that go to the table as runs.

        The last row of a run stays among the lines: the one below may add to it. taker: None where nothing that stands
        above a row changes what it says.
        """
        while chunk := list(islice(lines, AT_ONCE)):
            first = 0
            while first < len(chunk) and not (taker is None or taker.may_take()):
                yield chunk[first]
                first += 1
            at = first
            for begin, run in self._runs([line for _, line in chunk[first:]]):
                yield from chunk[at : first + begin]
                at = first + begin
                if taker is None:
                    self.add(run)
                elif taker.may_take():
                    taker.take(run)
                else:
                    continue
                at += len(run.codes)
            yield from chunk[at:]

    def _runs(self, lines: list[str]) -> list[tuple[int, Run]]:
        """(where it begins, the run) of each that is worth it."""
        cut = self.lines.shapes.kind.cut
        is_rare = self._n_looked_at >= AT_ONCE and self._n_taken < FEW_TAKEN * self._n_looked_at
        if cut is None or is_rare or len(lines) < FEWEST:
            return []
        words, numbers = cut.columns(lines)
        codes = np.array([self._codes.get(one, _UNKNOWN) for one in words])
        are_rows = numbers[:, _TIME] == numbers[:, _TIME]
        for at in np.flatnonzero(are_rows & (codes == _UNKNOWN)).tolist():
            codes[at] = self._code(words[at], numbers[at].tolist(), lines[at])
        are_rows &= (codes != _UNKNOWN) & ~(numbers[:, _SHARE] > 1)
        edges = np.flatnonzero(np.diff(are_rows, prepend=False, append=False))
        bounds = edges.reshape(-1, 2) - [0, 1]
        found = [(begin, Run(codes[begin:end], numbers[begin:end])) for begin, end in bounds if end - begin >= SHORTEST]
        self._n_looked_at += len(lines)
        self._n_taken += sum(len(run.codes) for _, run in found)
        return found

    def _code(self, words: Words, numbers: list[float], line: str) -> int:
        """_UNKNOWN for rows that are to be taken one at a time."""
        if words in self._codes:
            return self._codes[words]
        shape = self.lines.shapes.of_words(words, numbers, line)
        if shape is None or shape.row is None or any(metric.running == metric.running for _, metric in shape.metrics):
            return _UNKNOWN
        code = self._codes[words] = len(self.shapes)
        self.shapes.append(shape)
        if code == len(self._running):
            self._running = np.append(self._running, np.empty(_GROWTH))
            self._names = np.append(self._names, _unnamed(_GROWTH), axis=2)
        self._running[code] = shape.row.running
        return code

    def add(self, run: Run) -> int:
        """Adds the rows to the table, below each its ratio. Returns how many these are."""
        codes, numbers = run
        self._name(codes)
        for at in np.flatnonzero(numbers[:, _ERROR] > 0).tolist():
            if row := self.shapes[codes[at]].row:
                self.builder.add_error(row.scope, row.event, float(numbers[at, _ERROR]))
        have_ratios = self._names[1, 0, codes] != _UNKNOWN
        of = np.repeat(np.arange(len(codes)), 1 + have_ratios)
        are_ratios = np.diff(of, prepend=-1) == 0
        shares = np.where(numbers[:, _SHARE] == numbers[:, _SHARE], numbers[:, _SHARE], self._running[codes])
        columns = {
            "start_s": numbers[of, _TIME],
            "value": np.where(are_ratios, numbers[of, METRIC], numbers[of, _COUNT]),
            "running": shares[of],
        }
        for names, column in enumerate(_NAMES):
            columns[column] = self._names[are_ratios.astype(np.intp), names, codes[of]]
        self.builder.add_columns(columns)
        return len(of)

    def _name(self, codes: np.ndarray) -> None:
        """Numbers the names that are new, in the order in which they come."""
        self.builder.rows.flush()
        new = codes[self._names[0, 0, codes] == _UNKNOWN]
        for code in dict.fromkeys(new.tolist()):
            shape = self.shapes[code]
            assert shape.row
            count = shape.row._replace(event="", spelling=shape.row.event)
            for kind, row in enumerate([count, *(metric for _, metric in shape.metrics)]):
                self._names[kind, :, code] = self._numbered(row)

    def _numbered(self, row: PerfRow) -> list[int]:
        names = self.builder.rows.names
        return [names[column].code(getattr(row, of_row)) for column, of_row in _NAMES.items()]


def _unnamed(n: int) -> np.ndarray:
    return np.full((2, len(_NAMES), n), _UNKNOWN, dtype=np.int32)
