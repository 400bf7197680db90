"""Streamline's functions report: a row per function, a column per counter, then uid, image, symbol, inlined from."""

from __future__ import annotations

import math
import re

import pandas as pd

from analysis.errors import printable
from analysis.events import streamline_event
from analysis.phase import OK
from analysis.readers.csv_rows import cell_number, rows_after
from analysis.readers.perf_rows import Malformed
from analysis.readers.source import Source
from analysis.table import NAN, Table, TableBuilder, summarise

FORMAT = "streamline-functions"
SAMPLES = "samples"
MOST_FUNCTIONS = 150_000
HEADER = re.compile(r'(^|,)\s*\ufeff?"?symbol"?\s*(,|$)')
TEXTS = ("uid", "image", "symbol", "inlined from")


def read(source: Source) -> Table:
    """`Table.functions` has the columns image, symbol, inlined_from and one per event; `samples` are periodic ones."""
    rows = rows_after(source, HEADER)
    _, names = next(rows, (0, []))
    events, ignored = _events(names)
    if not events:
        raise source.error(f"no column is a counter that we know: {summarise([printable(n) for n in names])}")
    if "symbol" not in names:
        raise source.error(f"no column 'symbol': {summarise([printable(n) for n in names])}")
    functions: list[dict[str, object]] = []
    required = names.index("symbol") + 1
    for row, fields in rows:
        try:
            if not required <= len(fields) <= len(names):
                raise Malformed(f"{len(fields)} fields, expected {len(names)}")
            functions.append(_function(dict(zip(names, fields, strict=False)), events))
        except Malformed as problem:
            source.reject(row, str(problem))
        if len(functions) > MOST_FUNCTIONS:
            raise source.error(f"more than {MOST_FUNCTIONS} functions", row)
    if not functions:
        raise source.error("no functions in it")
    builder = TableBuilder()
    for function in functions:
        for name, event in events.items():
            value = function[event]
            if isinstance(value, float) and not math.isnan(value):
                scope = f"function:{function['symbol']}"
                builder.add(event, value, start_s=0.0, duration_s=NAN, scope=scope, status=OK, source=name)
    notes = source.closing_notes()
    if ignored:
        notes.append(f"columns that are no known counter ignored: {summarise([printable(i) for i in ignored])}")
    meta = {"format": FORMAT, "path": str(source.path), "clock": ""}
    return Table(builder.frame(), meta, notes, functions=pd.DataFrame(functions))


def _events(names: list[str]) -> tuple[dict[str, str], list[str]]:
    """Column -> event, and the columns that are neither counter nor text."""
    events: dict[str, str] = {}
    ignored = []
    for name in names:
        kind, _, rest = name.partition(":")
        title, _, series = rest.strip().partition(":")
        event = streamline_event(title, series) if kind == "Counters" else None
        if kind == "Periodic Samples":
            event = SAMPLES
        if event and event not in events.values():
            events[name] = event
        elif name and name not in TEXTS:
            ignored.append(name)
    return events, ignored


def _function(cells: dict[str, str], events: dict[str, str]) -> dict[str, object]:
    function: dict[str, object] = {
        "image": cells.get("image", ""),
        "symbol": cells["symbol"],
        "inlined_from": cells.get("inlined from", ""),
    }
    if not cells["symbol"]:
        raise Malformed("a function without a symbol")
    for name, event in events.items():
        value = cell_number(cells.get(name, ""), name)
        if value < 0:
            raise Malformed(f"{printable(name)} is negative: {printable(cells.get(name, ''))}")
        function[event] = value
    return function
