"""Arm topdown-tool's text: `Backend Stalled Cycles. 84.38% cycles` under `[Cycle Accounting]`. All of it is ratios."""

from __future__ import annotations

import re

from analysis.errors import printable
from analysis.phase import METRIC_PREFIX
from analysis.readers.perf_rows import Malformed, check_length, event_name, is_transcript, number
from analysis.readers.source import Source
from analysis.table import NAN, Table, TableBuilder

FORMAT = "topdown-text"

_HEADING = re.compile(r"\s*(Stage \d+ \(.*\)|[=-]{3,}|\[.*\]|CPU .*|.*:)\s*")
_METRIC = re.compile(r"\s*(?P<name>[A-Za-z][^.]*?)\.*\s+(?P<value>\d+(?:\.\d+)?)(?P<percent>%?)\s*(?P<unit>.*?)\s*")


def read(source: Source) -> Table:
    builder = TableBuilder()
    for row, line in source.lines():
        try:
            check_length(line)
            if not line.strip() or _HEADING.fullmatch(line) or is_transcript(line):
                continue
            match = _METRIC.fullmatch(line)
            if not match:
                raise Malformed(f"expected 'name.... value unit', found '{printable(line.strip())}'")
            unit = " ".join((match["percent"], match["unit"])).strip()
            name = METRIC_PREFIX + event_name(match["name"])
            builder.add(name, number(match["value"], "the value"), start_s=0.0, unit=unit, running=NAN)
        except Malformed as problem:
            source.reject(row, str(problem))
    if not builder.n_rows:
        raise source.error("no metrics in it")
    meta = {"format": FORMAT, "path": str(source.path), "clock": ""}
    return Table(builder.frame(), meta, source.closing_notes())
