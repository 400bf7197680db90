"""The markers file of a run: when each call started, to be joined with what other tools counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import annotate
from q4engine.errors import Q4Error
from q4engine.profiling.recording import Record


class Markers:
    """Writes a markers file, as a sink. Q4Error where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: Record | None = None
        with self._named_errors():
            self._markers = annotate.MarkerFile(path)

    def write(self, record: Record) -> None:
        call = record.call
        with self._named_errors():
            self._markers.write(record.start_ns, call.n_past, call.n_eval, call.phase)
        self._last = record

    def close(self) -> None:
        """A marker of no tokens ends the last call."""
        with self._named_errors(), self._markers:
            if self._last is not None and not self._markers.closed:
                call = self._last.call
                self._markers.write(self._last.end_ns, call.n_past + call.n_eval, 0, "end")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Q4Error(f"{self._path}: the markers cannot be written: {error.strerror}") from None
