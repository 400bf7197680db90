"""Streamline's `log.csv`: annotations with their times. Those that read `past N, n_eval M` are the engine's markers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import itemgetter

from analysis.phase import Marker
from analysis.readers.csv_rows import many_seconds, rows_after, seconds
from analysis.readers.markers_file import markers_of_messages
from analysis.readers.perf_rows import Malformed
from analysis.readers.source import Source
from analysis.table import Table, TableBuilder

FORMAT = "streamline-log"
MOST_MESSAGES = 300_000
HEADER = re.compile(r'(^|,)\s*\ufeff?"?When \(s\)"?\s*(,|$)')


class _Messages:
    """The annotations so far: those that are markers, and how many there are in all."""

    def __init__(self) -> None:
        self.markers: list[Marker] = []
        self.n = 0
        self.when = self.message = 0

    def add(self, times: Sequence[float], texts: Sequence[str]) -> None:
        self.markers += markers_of_messages(times, texts)
        self.n += len(times)

    def take(self, columns: list[tuple[str, ...]]) -> bool:
        if len(columns) <= max(self.when, self.message) or self.n + len(columns[0]) > MOST_MESSAGES:
            return False
        times = many_seconds(columns[self.when])
        if times is None:
            return False
        self.add(times, columns[self.message])
        return True


def read(source: Source) -> Table:
    """A table without counts, only with markers, on the clock of the timeline."""
    messages = _Messages()
    rows = rows_after(source, HEADER, messages)
    _, names = next(rows, (0, []))
    if "When (s)" not in names or "Message" not in names:
        raise source.error("a Streamline log has the columns 'When (s)' and 'Message'")
    when, message = messages.when, messages.message = names.index("When (s)"), names.index("Message")
    for row, fields in rows:
        try:
            if len(fields) <= max(when, message):
                raise Malformed(f"{len(fields)} fields, expected {len(names)}")
            messages.add([seconds(fields[when], "When (s)")], [fields[message]])
        except Malformed as problem:
            source.reject(row, str(problem))
        if messages.n > MOST_MESSAGES:
            raise source.error(f"more than {MOST_MESSAGES} annotations", row)
    markers = sorted(messages.markers, key=itemgetter(0))
    notes = source.closing_notes()
    others = messages.n - len(markers)
    if others:
        notes.append(f"{others} annotation(s) of {messages.n} in {source.path.name} are no markers of decode calls")
    meta = {"format": FORMAT, "path": str(source.path), "clock": "streamline"}
    return Table(TableBuilder().frame(), meta, notes, markers=markers)
