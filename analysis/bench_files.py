"""Outputs of llama-bench in all its forms (md, csv, json, jsonl, sql, and the database that sql makes), and ours.

Of any version: columns go by their names. Lines of other programs around a table are skipped, as logs have them.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from analysis.bench_result import Benchmark, Wrong, of_fields
from analysis.errors import AnalysisError, printable
from analysis.readers.source import Source

MOST_RESULTS = 5000
MOST_SAMPLES = 400_000
"""Of all results."""
_MOST_TEXT = 48 << 20  # bytes of a document of JSON
_MOST_LINES, _MOST_COLUMNS = 600_000, 200
_TABLES = ("llama_bench", "q4engine_bench", "test")  # `test` is the oldest name
_SWEEP = 0x71347377

Fields = dict[str, Any]
Row = tuple[int, Mapping[str, Any]]

_INSERT = re.compile(r'INSERT INTO "?(\w{1,40})"? \(([^()]{1,8000})\) VALUES \((.*)\);?')
_VALUE = re.compile(r"'([^']*(?:''[^']*)*)'|(NULL|[-+\d.eE]{1,40})")
_CSV_HEAD = re.compile(r'(?:^|,)\s?"?avg_ts"?\s?(?:,|$)')
_BUILD = re.compile(r"build: (\w{1,40}) \((\d{1,9})\)")
_OURS = re.compile(r"q4engine: [\w.+-]{1,40}, ")
_OUR_FACT = re.compile(r"\b(commit|cpu): ([^,:]{1,200})(?=,|$)")
_DECODER = json.JSONDecoder()
_BEGINS = re.compile(r'\s{0,40}(?:\[\s{0,40}\{?|\{)\s{0,40}(?:"|$)')
_BETWEEN = re.compile(r"[\s,]*")


def read(path: Path) -> tuple[list[Benchmark], list[str]]:
    """Every result of a file, in its order, and notes. AnalysisError with the row where one is not as it should be."""
    rows, notes = _rows(path)
    found: list[Benchmark] = []
    n_samples = 0
    for row, fields in rows:
        try:
            of_row = list(of_fields(fields, printable(path.name, 100)))
        except Wrong as problem:
            raise AnalysisError(str(problem), path=path, row=row or None) from None
        found += of_row
        n_samples += sum(len(result.samples) for result in of_row)
        if n_samples > MOST_SAMPLES:
            raise AnalysisError(f"more than {MOST_SAMPLES} samples", path=path, row=row or None)
        if max(len(found), len(rows)) > MOST_RESULTS:
            raise AnalysisError(f"more than {MOST_RESULTS} results", path=path)
    if not found:
        expected = "llama-bench's json, jsonl, csv, md or sql, or q4engine bench's"
        raise AnalysisError(f"holds no results of a benchmark; expected {expected}", path=path)
    return found, notes


def _rows(path: Path) -> tuple[list[Row], list[str]]:
    if _is_database(path):
        return list(_of_database(path)), []
    source = Source(path)
    lines: list[tuple[int, str]] = []
    for row, line in source.lines(exact=False):
        lines.append((row, line))
        if len(lines) > _MOST_LINES:
            raise source.error(f"more than {_MOST_LINES} lines, which no benchmark writes", row)
    first = next((line.lstrip() for _, line in lines if line.lstrip()[:1] in ("[", "{")), "")
    for form in (_of_markdown, _of_sql, _of_csv):
        if rows := list(islice(form(source, lines), MOST_RESULTS + 1)):
            return rows, source.closing_notes()
    if first:
        rows, notes = _of_json(source, lines)
        return rows, [*source.closing_notes(), *notes]
    return [], []


# ---- JSON, whole or a line a result ----------------------------------------------------------------------------------


def _of_json(source: Source, lines: list[tuple[int, str]]) -> tuple[list[Row], list[str]]:
    """Objects with a speed, in lists or one behind the other, from the first line on that begins like one."""
    start = next((at for at, (_, line) in enumerate(lines) if _BEGINS.match(line)), None)
    if start is None:
        return [], []
    text = "\n".join(line for _, line in lines[start:])
    if len(text) > _MOST_TEXT:
        raise source.error(f"more than {_MOST_TEXT >> 20} MiB of JSON, which no benchmark writes")
    rows: list[Row] = []
    machine: Fields = {}
    counted, number = 0, lines[start][0]
    at = _past(text, 0)
    while at < len(text):
        if text[at] in "[]":  # a list's objects one by one, so that one that was cut short has those before
            at = _past(text, at + 1)
            continue
        number, counted = number + text.count("\n", counted, at), at
        if text[at] != "{":
            at = _past(text, text.find("\n", at) + 1 or len(text))  # what something else printed
            continue
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as problem:
            if rows and _is_cut(text, problem):
                return rows, [f"ends within a result; {len(rows)} before it are read"]
            reason = problem.msg if isinstance(problem, json.JSONDecodeError) else "too many brackets"
            raise source.error(f"no JSON: {printable(reason)}", number) from None
        if isinstance(inner := value.get("results"), list):
            machine = value["machine"] if isinstance(value.get("machine"), dict) else {}
            _checked_head(source, number, [*machine])
            rows += [(number, machine | each) for each in inner if isinstance(each, dict)]
        elif "avg_ts" in value or "samples_ts" in value or "avg_ns" in value:
            rows.append((number, value))
        at = _past(text, at)
        if len(rows) > MOST_RESULTS:
            raise source.error(f"more than {MOST_RESULTS} results", number)
    return rows, []


def _past(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match else at


def _is_cut(text: str, problem: Exception) -> bool:
    """Whether the text ends before its last object does."""
    return isinstance(problem, json.JSONDecodeError) and "}" not in text[problem.pos :]


def _checked_head(source: Source, row: int, names: list[str]) -> list[str]:
    if len(names) > _MOST_COLUMNS:
        raise source.error(f"{len(names)} columns, more than the {_MOST_COLUMNS} that any benchmark has", row)
    return names


# ---- CSV -------------------------------------------------------------------------------------------------------------


def _of_csv(source: Source, lines: list[tuple[int, str]]) -> Iterator[Row]:
    """Below a head with avg_ts; a further head begins another table."""
    head: list[str] = []
    for row, line in lines:
        if not head and not _CSV_HEAD.search(line):
            continue
        try:
            cells = next(csv.reader([line], strict=True), [])
        except csv.Error as problem:
            if not line.startswith('"'):  # what something else printed
                continue
            raise source.error(f"no CSV: {problem}", row) from None
        if "avg_ts" in cells:
            head = _checked_head(source, row, [cell.strip() for cell in cells])
        elif len(cells) == len(head):
            yield row, dict(zip(head, cells, strict=True))
        elif len(cells) > 3:
            raise source.error(f"{len(cells)} columns, the head has {len(head)}", row)


# ---- Markdown --------------------------------------------------------------------------------------------------------


def _of_markdown(source: Source, lines: list[tuple[int, str]]) -> Iterator[Row]:
    """Tables with the columns test and t/s; `build:` below one tells its commit."""
    head: list[str] = []
    pending: list[Row] = []
    for row, line in lines:
        text = line.strip()
        if not text.startswith("|"):
            if facts := _facts_below(text):
                yield from ((at, {**fields, **facts}) for at, fields in pending)
                pending, head = [], []
            continue
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        if "t/s" in cells and "test" in cells:
            yield from pending
            pending, head = [], _checked_head(source, row, cells)
        elif head and not all(set(cell) <= set("-: ") for cell in cells):
            if len(cells) != len(head):
                raise source.error(f"{len(cells)} columns, the table's head has {len(head)}", row)
            pending.append((row, _of_table(dict(zip(head, cells, strict=True)))))
            if len(pending) > MOST_RESULTS:  # too many, whatever stands below them
                break
    yield from pending


def _of_table(fields: Fields) -> Fields:
    """A row of ours has a share of the peak, and llama.cpp's speed where it was measured too."""
    if "of peak" in fields or "rate" in fields:
        fields["q4engine"] = ""
    if peer := fields.get("llama.cpp t/s"):
        fields["peer"] = {"name": "llama.cpp", "t/s": peer}
    return fields


def _facts_below(text: str) -> Fields:
    if build := _BUILD.match(text):
        return {"build_commit": build[1], "build_number": build[2]}
    if _OURS.match(text):
        return {"q4engine": "", **dict(_OUR_FACT.findall(text))}
    return {}


# ---- SQL, and the database that it makes -----------------------------------------------------------------------------


def _of_sql(source: Source, lines: list[tuple[int, str]]) -> Iterator[Row]:
    """Statements are read, never run."""
    for row, line in lines:
        match = _INSERT.fullmatch(line.strip()) if "INSERT INTO" in line[:40] else None
        if match is None or match[1] not in _TABLES:
            continue
        names = _checked_head(source, row, [name.strip().strip('"') for name in match[2].split(",")])
        values = list(_values(match[3]))
        if len(values) != len(names):  # llama-bench does not double a quote within a value
            values = list(match[3][1:-1].split("', '"))
        if len(values) != len(names):
            raise source.error(f"{len(values)} values for {len(names)} columns", row)
        yield row, dict(zip(names, values, strict=True)) | _of_our_table(match[1])


def _values(text: str) -> Iterator[str | None]:
    at = 0
    while match := _VALUE.match(text, at):
        yield None if match[2] == "NULL" else match[2] or match[1].replace("''", "'")
        at = _past(text, match.end())


def _of_our_table(name: str) -> Fields:
    return {"q4engine": ""} if name == "q4engine_bench" else {}


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"
    return False


def _of_database(path: Path) -> Iterator[Row]:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as base:
            if base.execute("PRAGMA application_id").fetchone() == (_SWEEP,):
                hint = "analysis.sweep reads it, q4engine sweep export FILE -o FILE.jsonl writes what is read here"
                raise AnalysisError(f"is a file of q4engine sweep: {hint}", path=path)
            tables = {str(name) for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in [table for table in _TABLES if table in tables]:
                cursor = base.execute(f'SELECT * FROM "{table}" LIMIT {MOST_RESULTS + 1}')
                names = [column[0] for column in cursor.description]
                yield from ((0, dict(zip(names, row, strict=True)) | _of_our_table(table)) for row in cursor)
    except (sqlite3.Error, UnicodeDecodeError) as problem:
        raise AnalysisError(f"cannot be read: {problem}", path=path) from None
