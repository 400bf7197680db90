"""Streamline's `log.csv`: annotations with their times. Those that read `past N, n_eval M` are the engine's markers."""

from __future__ import annotations

import re

from analysis.readers.csv_rows import rows_after, seconds
from analysis.readers.markers_file import markers_of_messages
from analysis.readers.perf_rows import Malformed
from analysis.readers.source import Source
from analysis.table import Table, TableBuilder

FORMAT = "streamline-log"
MOST_MESSAGES = 300_000
HEADER = re.compile(r'(^|,)\s*\ufeff?"?When \(s\)"?\s*(,|$)')


def read(source: Source) -> Table:
    """A table without counts, only with markers, on the clock of the timeline."""
    rows = rows_after(source, HEADER)
    _, names = next(rows, (0, []))
    if "When (s)" not in names or "Message" not in names:
        raise source.error("a Streamline log has the columns 'When (s)' and 'Message'")
    when, message = names.index("When (s)"), names.index("Message")
    messages: list[tuple[float, str]] = []
    for row, fields in rows:
        try:
            if len(fields) <= max(when, message):
                raise Malformed(f"{len(fields)} fields, expected {len(names)}")
            messages.append((seconds(fields[when], "When (s)"), fields[message]))
        except Malformed as problem:
            source.reject(row, str(problem))
        if len(messages) > MOST_MESSAGES:
            raise source.error(f"more than {MOST_MESSAGES} annotations", row)
    markers = markers_of_messages(messages)
    notes = source.closing_notes()
    others = len(messages) - len(markers)
    if others:
        notes.append(f"{others} annotation(s) of {len(messages)} in {source.path.name} are no markers of decode calls")
    meta = {"format": FORMAT, "path": str(source.path), "clock": "streamline"}
    return Table(TableBuilder().frame(), meta, notes, markers=markers)
