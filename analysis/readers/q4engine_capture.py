"""Our own captures, as `docs/capture-format.md` describes them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from analysis.calls import Calls, event_column, holds_numbers, n_weights
from analysis.errors import printable
from analysis.events import canonical
from analysis.phase import NOT_COUNTED, OK
from analysis.readers.csv_rows import fields_of
from analysis.readers.perf_rows import LARGEST_COUNT, Malformed
from analysis.readers.source import Source
from analysis.table import Table, TableBuilder, summarise

FORMAT = "q4engine-capture"
VERSION = "1"
_LINES_AT_ONCE = 1 << 12
MOST_COLUMNS = 600
MOST_KEYS = 4096
MOST_DIGITS = 18
MOST_OPERATIONS = 150  # kinds; ggml has some 100, and a report tells of each
"""Of whole numbers that 64 bits hold whatever the digits are."""
MOST_TENSORS = 20_000
"""Names, those that are read at once as one; the largest models have some hundreds."""
REQUIRED = ("call", "n_past", "n_eval", "op", "start_ns", "duration_ns")
WHOLE = ("call", "n_past", "n_eval", "start_ns", "duration_ns")
NUMBERS = (
    *WHOLE,
    "layer",
    "weight_bytes",
    "thread",
    "cpu",
    "migrations",
    "page_faults",
    "context_switches",
    "freq_hz",
    "sequences",
)
TEXTS = ("phase", "op", "tensor", "type", "shape", "kernel", "node", "operands")
TAKEN_KEYS = ("steal_percent", "run_delay_percent")
NUMERIC_KEYS = (
    "bytes_per_token",
    "kv_bytes_per_token",
    "n_layers",
    "n_threads",
    "n_threads_batch",
    "batch_tokens",
    "read_peak_gbps",
    "observer_cost_percent",
    *TAKEN_KEYS,
    "others_percent_of_cpu",
)

# Bits a weight, block scales included, of the types that captures named before they had a column `weight_bytes`. The
# list is closed: of a type that it lacks the bytes are unknown.
_BITS_IN_OLD_CAPTURES = {"F32": 32.0, "F16": 16.0, "BF16": 16.0, "Q8_0": 8.5, "Q6_K": 6.5625, "Q4_1": 5.0, "Q4_0": 4.5}

_HEADER = re.compile(r"# ([\w.-]+): ?(.*)")
_NUMBER = re.compile(r"\d+(\.\d+)?([eE][+-]?\d+)?")


def read(source: Source) -> Table:
    header, columns, lines, cells = _split(source)
    _check_header(source, header)
    rows, row_numbers = _frame(source, columns, lines, cells)
    groups = _groups(header)
    rows, ignored = _canonical_columns(source, rows, groups, header.get("arch", "aarch64"))
    _add_weight_bytes(rows)
    rows["start_s"] = rows["start_ns"] / 1e9
    rows["duration_s"] = rows["duration_ns"] / 1e9
    calls = Calls(rows)
    _check_calls(source, calls.whole, row_numbers[calls.whole.index])
    notes = source.closing_notes()
    if ignored:
        notes.append(f"unknown columns ignored: {summarise([printable(c) for c in ignored])}")
    builder = TableBuilder()
    scaled = _add_counts(builder, calls, groups)
    if scaled:
        notes.append(f"multiplexed within calls and scaled to the whole call: {summarise(sorted(scaled))}")
    if not calls.events:
        notes.append(f"no counters: {printable(str(header.get('counters', 'the header gives no reason')), 300)}")
    meta: dict[str, Any] = {
        "format": FORMAT,
        "path": str(source.path),
        "clock": header.get("clock", "CLOCK_MONOTONIC_RAW"),
        "header": header,
        "groups": groups,
        "emulated": header.get("emulated") == "yes",
        **({"arch": header["arch"]} if "arch" in header else {}),
    }
    return Table(builder.frame(), meta, notes, calls=calls)


class _Cells:
    """The rows' cells by column. Lines without quotes and blanks wait until there are many to be cut at once."""

    def __init__(self, n_columns: int) -> None:
        self._columns: list[list[str]] = [[] for _ in range(n_columns)]
        self._waiting: list[str] = []

    @property
    def columns(self) -> list[str]:
        """Each column's cells, a line each: a tenth of what millions of strings take."""
        self._flush()
        return ["\n".join(pieces) for pieces in self._columns]

    def takes(self, line: str) -> bool:
        """Whether the line was taken: it is a plain row of as many cells as there are columns."""
        is_plain = line.isascii() and line.isprintable() and " " not in line and '"' not in line
        if not is_plain or line.count(",") != len(self._columns) - 1:
            return False
        self._waiting.append(line)
        return True

    def takes_all(self, lines: list[str]) -> bool:
        """The same of many lines: all, or none where there is one to be looked at by itself."""
        text = ",".join(lines)
        is_plain = text.isascii() and text.isprintable() and " " not in text and '"' not in text
        if not is_plain or {line.count(",") for line in lines} != {len(self._columns) - 1}:
            return False
        self._waiting += lines
        self._flush()
        return True

    def add(self, fields: list[str]) -> None:
        self._flush()
        for column, field in zip(self._columns, fields, strict=True):
            column.append(field)

    def _flush(self) -> None:
        if self._waiting:
            cells = ",".join(self._waiting).split(",")
            for at, column in enumerate(self._columns):
                column.append("\n".join(cells[at :: len(self._columns)]))
            self._waiting = []


def _split(source: Source) -> tuple[dict[str, Any], list[str], list[int], list[str]]:
    """Header, column names, row numbers and each column's cells, all still text, a line each."""
    header: dict[str, Any] = {}
    lines = source.lines()
    columns = _head(source, lines, header)
    rows: list[int] = []
    cells = _Cells(len(columns))
    while together := list(islice(lines, _LINES_AT_ONCE)):
        if cells.takes_all([line for _, line in together]):
            rows += [row for row, _ in together]
            continue
        for row, line in together:
            if cells.takes(line):
                rows.append(row)
            elif line.strip():
                try:
                    fields = fields_of(line)
                except Malformed as problem:
                    source.reject(row, str(problem))
                    continue
                if len(fields) != len(columns):
                    source.reject(row, f"{len(fields)} fields, expected {len(columns)}")
                else:
                    rows.append(row)
                    cells.add(fields)
    if not rows:
        raise source.error("no calls in it")
    return header, columns, rows, cells.columns


def _head(source: Source, lines: Iterator[tuple[int, str]], header: dict[str, Any]) -> list[str]:
    """The names of the columns; the keys before them go to `header`."""
    for row, line in lines:
        if line.startswith("#"):
            match = _HEADER.fullmatch(line.strip())
            if match:
                if match[1] in header:
                    raise source.error(f"header key '{printable(match[1])}' stands twice", row)
                header[match[1]] = match[2].strip()
                if len(header) > MOST_KEYS:
                    raise source.error(f"more than {MOST_KEYS} keys in the header", row)
            elif row > 1:
                source.reject(row, f"expected '# key: value', found '{printable(line)}'")
        elif line.strip():
            try:
                return _column_names(source, row, fields_of(line))
            except Malformed as problem:
                source.reject(row, str(problem))
    raise source.error("the line of column names is missing")


def _column_names(source: Source, row: int, fields: list[str]) -> list[str]:
    names = [f.strip() for f in fields]
    missing = [c for c in REQUIRED if c not in names]
    if missing:
        raise source.error(f"column(s) missing: {', '.join(missing)}", row)
    if len(names) > MOST_COLUMNS:
        raise source.error(f"{len(names)} columns, more than the {MOST_COLUMNS} that any capture has", row)
    twice = {name for name, n in Counter(names).items() if n > 1}
    if twice:
        raise source.error(f"column '{printable(sorted(twice)[0])}' stands twice", row)
    return names


def _check_header(source: Source, header: dict[str, Any]) -> None:
    version = header.get("format_version")
    if version != VERSION:
        found = "none" if version is None else f"'{printable(version)}'"
        raise source.error(f"format_version should be {VERSION}, found {found}")
    for key in header:
        name, dot, _ = key.partition(".")  # behind a dot a phase
        if name not in (TAKEN_KEYS if dot else NUMERIC_KEYS):
            continue
        if not _NUMBER.fullmatch(header[key]) or not np.isfinite(float(header[key])):
            raise source.error(f"header key {printable(key)} should be a number, found '{printable(header[key])}'")
        header[key] = float(header[key])


def _groups(header: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """group name -> {"pmu": …, "events": […]} from the keys `group.NAME`."""
    groups = {}
    for key, text in header.items():
        if key.startswith("group."):
            words = dict(word.split("=", 1) for word in text.split() if "=" in word)
            events = [e for e in words.get("events", "").split(",") if e]
            groups[key.removeprefix("group.")] = {"pmu": words.get("pmu", ""), "events": events}
    return groups


def _frame(source: Source, columns: list[str], rows: list[int], cells: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows with numbers as numbers (NaN for empty cells), and the line each stands on."""
    row_numbers = np.array(rows)
    data: dict[str, Any] = {}
    good = np.ones(len(rows), dtype=bool)
    for column, text in zip(columns, cells, strict=True):
        is_number = column in NUMBERS or holds_numbers(column)
        whole = _whole(text, column not in WHOLE) if is_number else None
        if whole is not None:
            data[column] = whole
            continue
        texts = pd.Series(text.split("\n"), dtype=object)
        if not is_number:
            data[column] = texts
            continue
        numbers = pd.to_numeric(texts.where(texts != "", None), errors="coerce")
        wrong = (numbers.isna() & (texts != "")) | (numbers < 0) | (numbers >= LARGEST_COUNT)
        if column in WHOLE:
            wrong |= numbers.isna() | (numbers.fillna(0) % 1 != 0) | (numbers >= 1 << 63)
        for at in np.flatnonzero(wrong.to_numpy() & good):
            source.reject(
                int(row_numbers[at]), f"{printable(column)} should be a number, found '{printable(texts[at])}'"
            )
            good[at] = False
        data[column] = numbers
    frame = pd.DataFrame(data)
    if not good.all():
        frame = frame[good].reset_index(drop=True)
    if frame.empty:
        raise source.error("no good row in it")
    for column in WHOLE:
        if frame.dtypes[column] != np.int64:
            frame[column] = frame[column].astype(np.int64)
    if (kinds := frame["op"].nunique()) > MOST_OPERATIONS:
        raise source.error(f"{kinds} kinds of operations, more than the {MOST_OPERATIONS} that any capture has")
    if "tensor" in frame and (tensors := frame["tensor"].nunique()) > MOST_TENSORS:
        raise source.error(f"{tensors} tensors, more than the {MOST_TENSORS} that any capture has")
    return frame, row_numbers[good]


def _whole(text: str, may_be_empty: bool) -> np.ndarray | None:
    """A column of plain whole numbers, and of cells without one if it may have some; None for any other."""
    digits = text.replace("\n", "")
    if not digits and may_be_empty:
        return np.full(text.count("\n") + 1, np.nan)
    if not (digits.isascii() and digits.isdigit()):
        return None
    ends = np.flatnonzero(np.frombuffer(f"\n{text}\n".encode(), dtype=np.uint8) == ord("\n"))
    lengths = np.diff(ends) - 1
    if lengths.max() > MOST_DIGITS:
        return None
    if lengths.all():
        whole: np.ndarray = np.fromstring(text, np.int64, sep="\n")
        return whole
    cells = text.split("\n")
    return np.fromiter((float(cell or "nan") for cell in cells), float, len(cells)) if may_be_empty else None


def _canonical_columns(
    source: Source, rows: pd.DataFrame, groups: dict[str, dict[str, Any]], arch: str
) -> tuple[pd.DataFrame, list[str]]:
    """Event columns renamed to `CANONICAL@group`; names of unknown columns."""
    renamed: dict[str, str] = {}
    known: set[str] = set()
    ignored = []
    for column in rows.columns:
        found = event_column(column)
        if found:
            name = f"{canonical(found.event, arch).name}@{found.group}"
            if name in known:
                raise source.error(f"columns {printable(column)} and another both are {printable(name)}")
            renamed[column] = name
            known.add(name)
            groups.setdefault(found.group, {"pmu": "", "events": []})
        elif not holds_numbers(column) and column not in NUMBERS and column not in TEXTS:
            ignored.append(column)
    changed = any(renamed[column] != column for column in renamed)
    return rows.rename(columns=renamed) if changed else rows, ignored


def _add_weight_bytes(rows: pd.DataFrame) -> None:
    """Bytes of the weights that each operation reads, where the capture is too old to have the column."""
    if "weight_bytes" in rows:
        return
    rows["weight_bytes"] = math.nan
    if "type" in rows and "shape" in rows:
        is_product = ~rows["op"].isin(("embedding", "embed"))
        bits = rows["type"].map(_BITS_IN_OLD_CAPTURES).where(is_product)
        rows["weight_bytes"] = rows["shape"].map(n_weights) * bits / 8


def _check_calls(source: Source, whole: pd.DataFrame, row_numbers: np.ndarray) -> None:
    """Calls have numbers that increase and starts that do not go back. row_numbers: the line of each."""
    if whole.empty:
        raise source.error("no call rows in it (rows with an empty op)")
    for name, strictly in (("call", True), ("start_ns", False)):
        values = whole[name].to_numpy()
        back = np.flatnonzero(values[1:] <= values[:-1] if strictly else values[1:] < values[:-1])
        if len(back):
            at = int(back[0])
            raise source.error(f"{name} goes from {values[at]} to {values[at + 1]}", int(row_numbers[at + 1]))
    starts, ends = whole["start_ns"].to_numpy(), (whole["start_ns"] + whole["duration_ns"]).to_numpy()
    early = np.flatnonzero(starts[1:] < ends[:-1])
    if len(early):
        at = int(early[0])
        call, begin, end = whole["call"].iloc[at + 1], starts[at + 1], ends[at]
        what = f"call {call} starts at {begin} ns, before the call above it ends at {end} ns"
        raise source.error(what, int(row_numbers[at + 1]))


def _add_counts(builder: TableBuilder, calls: Calls, groups: dict[str, dict[str, Any]]) -> set[str]:
    """Adds the counts of whole calls; names of the events that had to be scaled."""
    scaled = set()
    whole, n = calls.whole, len(calls.whole)
    start, duration = whole["start_s"].to_numpy(), whole["duration_s"].to_numpy()
    for column in calls.events:
        (count, running), event, group = calls.scaled(column), column.event, column.group
        if (running[~np.isnan(count)] < 1).any():
            scaled.add(event)
        pmu = groups[group]["pmu"]
        codes = {"pmu": "" if pmu == "software" else pmu, "event": event, "group": group, "source": event}
        columns = {c: np.full(n, builder.names[c].code(name), dtype=np.int32) for c, name in codes.items()}
        status = np.where(np.isnan(count), builder.names["status"].code(NOT_COUNTED), builder.names["status"].code(OK))
        columns["status"] = status.astype(np.int8)
        builder.add_arrays({**columns, "start_s": start, "duration_s": duration, "value": count, "running": running})
    return scaled
