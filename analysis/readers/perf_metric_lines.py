"""Lines of `--metric-only` values in intervals: those spelled like one that was read with care become columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_metric_columns import metric_of
from analysis.readers.perf_rows import LONGEST_ROW, PerfRow

MOST_WAITING = 1 << 16
MOST_COLUMNS_LEARNT = 2048
"""In all patterns of a file: to make one takes far longer than to read a line."""
_TIME = r"(\d{1,12}\.\d{9})"
_VALUE = r"(\d{1,18}(?:\.\d{1,9})?)"
_BLANKS = " {0,200}"
_PLAIN = re.compile(rf"{_VALUE}%?", re.ASCII)


class MetricLines:
    """The lines below one line of names, which is forgotten where other names follow (`forget`).

    Only lines with a time and no other place are taken; the values of the others are as rare as they are odd.
    """

    def __init__(self, builder: PerfBuilder) -> None:
        self.builder = builder
        self._pattern: re.Pattern[str] | None = None
        self._ones: list[PerfRow] = []
        self._signs: list[str] = []
        self._most = MOST_COLUMNS_LEARNT
        self._waiting: list[float] = []

    def learn(
        self,
        names: Sequence[tuple[str, str]],
        texts: Sequence[str],
        between: str,
        end: str = "",
        *,
        begin: str = "",
        behind_time: str | None = None,
    ) -> None:
        """From a line read with care. names: (name, unit).

        begin, behind_time, between, end: patterns of what stands before the time, parts it from the values, parts these
        from each other and follows them. behind_time: None where it is between.
        """
        signs = ["%" if text.endswith("%") else "" for text in texts]
        if signs == self._signs or len(texts) > self._most or not all(map(_PLAIN.fullmatch, texts)):
            return
        self.forget()
        self._most -= len(texts)
        self._signs = signs
        ones = [metric_of(0.0, "", name, f"1{sign}", unit) for (name, unit), sign in zip(names, signs, strict=True)]
        self._ones = [one for one in ones if one]
        time = _BLANKS + begin + _TIME + (between if behind_time is None else behind_time)
        self._pattern = re.compile(time + between.join(_VALUE + sign for sign in signs) + _BLANKS + end, re.ASCII)

    def take(self, line: str) -> int:
        """The number of values of a line, 0 for one that has to be read with care: after `flush`."""
        match = self._pattern.fullmatch(line) if self._pattern and len(line) <= LONGEST_ROW else None
        if not match:
            return 0
        self._waiting += map(float, match.groups())
        if len(self._waiting) >= MOST_WAITING:
            self.flush()
        return len(self._ones)

    def flush(self) -> None:
        """The lines taken so far go to the table."""
        if self._waiting:
            lines = np.array(self._waiting).reshape(-1, len(self._ones) + 1)
            self._waiting = []
            self.builder.add_values(lines[:, 0], lines[:, 1:], self._ones)

    def forget(self) -> None:
        self.flush()
        self._pattern, self._ones, self._signs = None, [], []
