"""Markers in a CSV file, for joining with perf and Streamline exports: one row a decode call.

Columns: time_ns (CLOCK_MONOTONIC_RAW), n_past and n_eval (tokens), phase.
"""

import csv
import os
from pathlib import Path
from types import TracebackType
from typing import Self

COLUMNS = ("time_ns", "n_past", "n_eval", "phase")


class MarkerFile:
    """Writes each marker as it comes, so that the file is complete up to the last call also after a crash.

    OSError where the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Line buffering flushes at each row's end.
        self._file = Path(path).open("w", encoding="utf-8", newline="", buffering=1)  # noqa: SIM115
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(COLUMNS)

    def write(self, time_ns: int, n_past: int, n_eval: int, phase: str) -> None:
        """One marker: CLOCK_MONOTONIC_RAW nanoseconds, tokens before the call, tokens in it, the phase's name."""
        self._rows.writerow((time_ns, n_past, n_eval, phase))

    def close(self) -> None:
        """Closes the file; closing twice is fine."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
