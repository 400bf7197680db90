"""The file that `wperf stat -t` writes (WindowsPerf): a line of cores, a line of events, then a row of counts a window.

For how long a window counted is not told (`Count interval` is the pause between two), so the windows are added up.
Where events took turns, how often each was counted stands behind its count (`sched_times`): counts are scaled by that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from analysis.errors import printable
from analysis.phase import OK
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_rows import Malformed, PerfRow, count, event_name
from analysis.readers.source import Source
from analysis.table import NAN, Table, summarise

FORMAT = "windowsperf-csv"
BEGIN = re.compile(r"^\ufeff?Multiplexing,(?:TRUE|FALSE)\s*$")
MOST_COLUMNS = 4096

_CORE = re.compile(r"core (\d{1,6})")
_CYCLES, _TURNS, _METRIC = "cycle", "sched_times", "M@"


def read(source: Source) -> Table:
    """Raises AnalysisError where a row does not fit the lines above or there is none."""
    builder = PerfBuilder(source, FORMAT)
    header: dict[str, str] = {}
    titles: list[list[str]] = []
    windows: list[list[float]] = []
    for row, line in source.lines():
        if line.count(",") > MOST_COLUMNS:
            raise source.error(f"more than {MOST_COLUMNS} columns", row)
        cells = [cell.strip() for cell in line.strip().rstrip(",").split(",")]
        if len(titles) < 2 and len(cells) == 2 and not _CORE.fullmatch(cells[0]) and not titles:
            header[cells[0]] = cells[1]
        elif len(titles) < 2:
            titles.append(cells)
        elif any(cells):
            try:
                windows.append(_window(cells, titles[1]))
            except Malformed as problem:
                source.reject(row, str(problem))
    kind = header.get("Event class", "core")
    if kind != "core":
        raise source.error(
            f"counts of the class {printable(kind)}, of which no rule tells anything: hand over the cores'"
        )
    if len(titles) < 2 or not windows:
        raise source.error("no counts in it: expected a line of cores, a line of events and rows of counts")
    if len(titles[0]) != len(titles[1]) or not all(map(_CORE.fullmatch, titles[0])):
        raise source.error(f"{len(titles[0])} cores above {len(titles[1])} events, expected a core above each event")
    try:
        _add(builder, titles, np.array(windows).sum(axis=0), ":u" if header.get("Kernel mode") == "FALSE" else "")
    except Malformed as problem:
        raise source.error(str(problem)) from None
    table = builder.table()
    if len(windows) > 1:
        table.notes.append(f"{len(windows)} windows, whose lengths are not told, are added up")
    if metrics := list(dict.fromkeys(name for name in titles[1] if name.startswith(_METRIC))):
        table.notes.append(f"metrics that repeat the counts are not read: {summarise(metrics)}")
    return table


def _window(cells: Sequence[str], names: Sequence[str]) -> list[float]:
    if len(cells) != len(names):
        raise Malformed(f"{len(cells)} counts, expected {len(names)}")
    return [NAN if name.startswith(_METRIC) else count(cell) for cell, name in zip(cells, names, strict=True)]


def _add(builder: PerfBuilder, titles: Sequence[Sequence[str]], sums: np.ndarray, modifier: str) -> None:
    turns: dict[str, float] = {}
    cores, names = titles
    for at, (core, name) in enumerate(zip(cores, names, strict=True)):
        if name == _TURNS or name.startswith(_METRIC):
            continue
        value, running = float(sums[at]), 1.0
        if names[at + 1 : at + 2] == [_TURNS]:
            counted = float(sums[at + 1])
            running = counted / most if (most := turns.setdefault(core, counted)) else NAN
            if running > 1:
                raise Malformed(f"{printable(name)} was counted {counted:g} times of {most:g}")
            value = value / running if running > 0 else value
        event = event_name(("cycles" if name == _CYCLES else name) + modifier)
        match = _CORE.fullmatch(core)
        assert match
        builder.add(PerfRow(NAN, f"cpu:{int(match[1])}", value, OK, "", event, running))
