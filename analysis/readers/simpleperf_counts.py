"""The counts of `simpleperf stat`, whichever way it printed them: blocks below titles, each with its total time."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from analysis.readers.perf_builder import MOST_NAMES, MOST_SERIES, PerfBuilder
from analysis.readers.perf_rows import PerfRow
from analysis.readers.shapes import Found, Shape
from analysis.readers.source import Source
from analysis.table import NAN, Table


@dataclass
class Block:
    """The counts between two title lines. begin: which count is its first, on line `row`. end_s: since the start."""

    begin: int
    row: int = 0
    end_s: float = NAN


class Counts:
    """Collects rows, in few bytes each; `table` makes intervals of the blocks, or the whole of the only one."""

    def __init__(self, source: Source, format_name: str) -> None:
        self.source = source
        self.builder = PerfBuilder(source, format_name)
        self.builder.meta["clock"] = "simpleperf"
        self.blocks: list[Block] = []
        self._ones: list[PerfRow] = []
        self._of_names: dict[tuple[str, str, str], int] = {}
        self._events: set[str] = set()
        self._scopes: set[str] = set()
        self._of_shape: dict[int, tuple[int, Shape]] = {}
        self._codes, self._values, self._shares = array("i"), array("d"), array("d")

    def begin(self) -> None:
        """A title: another block."""
        self.blocks.append(Block(len(self._codes)))

    def add(self, number_of_line: int, row: PerfRow) -> None:
        """Adds a row to the last block."""
        self._store(number_of_line, self._code(row), row.value, row.running)

    def take(self, number_of_line: int, found: Found | None) -> bool:
        """Adds a line of a known shape; False for one that has to be read with care."""
        if found is None:
            return False
        shape, values = found
        share = shape.running(values)
        if shape.row is None or share is None or share > 1:
            return False
        known = self._of_shape.get(id(shape))
        code = known[0] if known else self._code(shape.row)
        if not known:
            self._of_shape[id(shape)] = code, shape
        self._store(number_of_line, code, shape.value(values), share)
        return True

    def _code(self, row: PerfRow) -> int:
        names = row.scope, row.event, row.unit
        if (code := self._of_names.get(names)) is None:
            code = self._of_names[names] = len(self._ones)
            self._ones.append(row._replace(value=1.0))
            self._events.add(row.event)
            self._scopes.add(row.scope)
            for what, found in (("events", self._events), ("scopes", self._scopes)):
                if len(found) > MOST_NAMES:
                    raise self.source.error(f"more than {MOST_NAMES} {what}")
            if code >= MOST_SERIES:
                raise self.source.error(f"more than {MOST_SERIES} counters, of all events on all scopes: name fewer")
        return code

    def _store(self, number_of_line: int, code: int, value: float, share: float) -> None:
        if not self.blocks[-1].row:
            self.blocks[-1].row = number_of_line
        self._codes.append(code)
        self._values.append(value)
        self._shares.append(share)

    def table(self) -> Table:
        """Raises AnalysisError where there is no count, or a block of several without its time."""
        bounds = [*(block.begin for block in self.blocks), len(self._codes)]
        lengths = np.diff(bounds)
        blocks = [(block, n) for block, n in zip(self.blocks, lengths.tolist(), strict=True) if n]
        times = [block.end_s for block, _ in blocks]
        if len(blocks) == 1:
            self.builder.elapsed_s, times = times[0], [NAN]
        elif untimed := next((block for block, _ in blocks if block.end_s != block.end_s), None):
            raise self.source.error("a block without 'Total test time'", untimed.row or None)
        codes, values, shares = (np.array(column) for column in (self._codes, self._values, self._shares))
        before = self._before(codes, values)
        is_cumulative = len(blocks) > 1 and bool((values >= before).all())
        if len(codes):
            columns = np.repeat(times, [n for _, n in blocks]), values - before if is_cumulative else values, shares
            self.builder.add_values_of(self._ones, codes, *columns)
        table = self.builder.table()
        if is_cumulative:
            table.notes.append(
                "counts never fall from interval to interval: taken as sums since the start, differences used"
            )
        return table

    def _before(self, codes: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Of each count the one before it, of the same event and scope; 0 before the first.

        `--interval` prints sums since the start, or with `--interval-only-values` not; the file does not say which.
        """
        known: dict[tuple[str, str], int] = {}
        same = np.array([known.setdefault((one.scope, one.event), len(known)) for one in self._ones], dtype=np.int64)
        codes = same[codes]
        order = np.argsort(codes, kind="stable")
        is_first = np.diff(codes[order], prepend=-1) != 0
        before = np.empty(len(values))
        before[order] = np.where(is_first, 0.0, np.concatenate(([0.0], values[order][:-1]))[: len(values)])
        return before
