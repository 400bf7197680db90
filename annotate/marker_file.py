"""Markers in a CSV file, for joining with perf and Streamline exports: one row a decode call.

Columns: time_ns (CLOCK_MONOTONIC_RAW), n_past and n_eval (tokens), phase.
"""

import csv
import io
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from analysis.outputs import Rows

COLUMNS = ("time_ns", "n_past", "n_eval", "phase")


class MarkerFile:
    """Writes each marker as it comes, so that the file is complete up to the last call also after a crash.

    It appears with the first one; a file of the name from before stays until then. OSError where it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._rows = Rows(path, _line(COLUMNS))

    def write(self, time_ns: int, n_past: int, n_eval: int, phase: str) -> None:
        """One marker: CLOCK_MONOTONIC_RAW nanoseconds, tokens before the call, tokens in it, the phase's name."""
        self._rows.write(_line((time_ns, n_past, n_eval, phase)))

    @property
    def closed(self) -> bool:
        """Also after an error."""
        return not self._rows.is_open

    def close(self) -> None:
        """Closes the file; closing twice is fine."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _line(cells: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
