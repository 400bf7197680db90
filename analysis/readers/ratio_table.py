"""A table of PMU ratios with geometric mean and percentiles over time, as AWS publishes for its Graviton guide:

`|stall_backend_mem_pkc|     90.73|     83.97|     90.71|…`. The mean is the value; percentiles have scopes `stat:p90`.
"""

from __future__ import annotations

import re

from analysis.metric_names import metric_name
from analysis.phase import METRIC_PREFIX
from analysis.readers.perf_rows import Malformed, event_name, is_transcript, number
from analysis.readers.source import Source
from analysis.table import Table, TableBuilder

FORMAT = "pmu-ratio-table"
MEAN = "geomean"
MOST_RATIOS = 10_000


def read(source: Source) -> Table:
    builder = TableBuilder()
    columns: list[str] = []
    for row, line in source.lines():
        text = line.strip()
        if not text or is_transcript(line) or re.fullmatch(r"[|+=-]*", text) or (not columns and "Ratio" not in text):
            continue
        cells = [c.strip() for c in text.strip("|").split("|")]
        if cells[0] == "Ratio":
            columns = cells
            if columns[1:2] != [MEAN] or not all(re.fullmatch(r"p[\d.]+", c) for c in columns[2:]):
                raise source.error(f"expected the columns Ratio, {MEAN} and percentiles", row)
            continue
        try:
            if len(cells) != len(columns):
                raise Malformed(f"{len(cells)} cells, expected {len(columns)}")
            name = METRIC_PREFIX + (metric_name(event_name(cells[0])) or cells[0])
            values = [number(c, f"{column} of {cells[0]}") for column, c in zip(columns[1:], cells[1:], strict=True)]
        except Malformed as problem:
            source.reject(row, str(problem))
            continue
        if builder.n_rows >= MOST_RATIOS * len(values):
            raise source.error(f"more than {MOST_RATIOS} ratios", row)
        for column, value in zip(columns[1:], values, strict=True):
            builder.add(name, value, start_s=0.0, source=cells[0], scope="" if column == MEAN else f"stat:{column}")
    if not builder.n_rows:
        raise source.error("no ratios in it")
    meta = {"format": FORMAT, "path": str(source.path), "clock": ""}
    notes = [*source.closing_notes(), "ratios only, no counts: the geometric mean is used"]
    return Table(builder.frame(), meta, notes)
