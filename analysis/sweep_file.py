"""The SQLite file of `q4engine sweep`, read so that no other file costs more than its rows do.

A file may bring views in place of tables, triggers and columns that are calculated, all of them programs: tables are
taken as they are made here and no other way.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from analysis.errors import AnalysisError

APPLICATION = 0x71347377
"""SQLite's application_id of these files: "q4sw"."""
FIRST, FORMAT = 1, 2
AXES = (
    *("engine", "build", "model", "type", "threads", "mask", "features", "prompt", "generate", "depth", "batch"),
    *("kv", "machine"),
)
STATES = ("done", "noisy", "failed", "timeout")
MOST_BLOCKS = 10_000
MOST_ROWS = 500_000
_MOST_OF = {"combinations": 50_000, "runs": 150_000}
"""A plan has at most half as many combinations, and 100,000 runs."""
_MOST_BYTES = 1 << 28
_MOST_CELL_BYTES = 1 << 20
_MOST_SIGNS = 1 << 21  # of commas and brackets in facts

SCHEMA = {
    "about": "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "models": "CREATE TABLE models (path TEXT PRIMARY KEY, bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL) "
    "WITHOUT ROWID",
    "facts": "CREATE TABLE facts (id INTEGER PRIMARY KEY, hash TEXT UNIQUE NOT NULL, json TEXT NOT NULL)",
    "combinations": """CREATE TABLE combinations (
  id INTEGER PRIMARY KEY, hash TEXT UNIQUE NOT NULL, engine TEXT NOT NULL, build TEXT, model TEXT, type TEXT,
  threads INTEGER, mask TEXT, features TEXT, prompt INTEGER, generate INTEGER, depth INTEGER, batch INTEGER,
  kv TEXT, machine TEXT DEFAULT 'here')""",
    "runs": """CREATE TABLE runs (
  id INTEGER PRIMARY KEY, combination INTEGER NOT NULL REFERENCES combinations, block INTEGER NOT NULL,
  attempt INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, started TEXT NOT NULL, seconds REAL NOT NULL,
  machine INTEGER REFERENCES facts, engine INTEGER REFERENCES facts, conditions INTEGER REFERENCES facts,
  UNIQUE (combination, block, attempt))""",
    "samples": """CREATE TABLE samples (
  run INTEGER NOT NULL REFERENCES runs, phase TEXT NOT NULL, number INTEGER NOT NULL, tokens INTEGER NOT NULL,
  seconds REAL NOT NULL, PRIMARY KEY (run, phase, number)) WITHOUT ROWID""",
    "components": """CREATE TABLE components (
  run INTEGER NOT NULL REFERENCES runs, phase TEXT NOT NULL, name TEXT NOT NULL, tokens INTEGER NOT NULL,
  seconds REAL NOT NULL, PRIMARY KEY (run, phase, name)) WITHOUT ROWID""",
    "tokens": """CREATE TABLE tokens (
  run INTEGER NOT NULL REFERENCES runs, n_past INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (run, n_past)
) WITHOUT ROWID""",
    "perplexities": """CREATE TABLE perplexities (
  model TEXT NOT NULL, type TEXT NOT NULL, value REAL NOT NULL, error REAL NOT NULL, tokens INTEGER NOT NULL,
  PRIMARY KEY (model, type)) WITHOUT ROWID""",
}
_KV = ("native", "numpy", "llama.cpp")  # engines that have the axis
_LATER_AXES = {"kv": f"CASE WHEN engine IN {_KV} THEN 'f16' END", "machine": "'here'"}
"""Axes of version 2, and what their value was before there was a column for it."""
_LATER_TABLES = ("tokens", "perplexities")
UPGRADE = (
    "ALTER TABLE combinations ADD COLUMN kv TEXT",
    "ALTER TABLE combinations ADD COLUMN machine TEXT DEFAULT 'here'",
    f"UPDATE combinations SET kv = {_LATER_AXES['kv']}",
    *(SCHEMA[table] for table in _LATER_TABLES),
    f"PRAGMA user_version = {FORMAT}",
)
"""What makes a file of the first version one of the newest."""
_FIRST_SCHEMA = {
    **SCHEMA,
    "combinations": SCHEMA["combinations"].replace(",\n  kv TEXT, machine TEXT DEFAULT 'here'", ""),
}

_INT, _TEXT, _REAL = (int,), (str,), (float, int)
_INT_OR_NONE, _TEXT_OR_NONE = (int, NoneType), (str, NoneType)
_NUMBERS = ("threads", "prompt", "generate", "depth", "batch")
_COLUMNS: dict[str, dict[str, tuple[type, ...]]] = {
    "about": {"key": _TEXT, "value": _TEXT},
    "facts": {"id": _INT, "json": _TEXT},
    "combinations": {
        "id": _INT, "hash": _TEXT, "engine": _TEXT,
        **{axis: _INT_OR_NONE if axis in _NUMBERS else _TEXT_OR_NONE for axis in AXES[1:]},
    },
    "runs": {
        "id": _INT, "combination": _INT, "block": _INT, "attempt": _INT, "state": _TEXT, "reason": _TEXT,
        "started": _TEXT, "seconds": _REAL,
        **dict.fromkeys(("machine", "engine", "conditions"), _INT_OR_NONE),
    },
    "samples": {"run": _INT, "phase": _TEXT, "number": _INT, "tokens": _INT, "seconds": _REAL},
    "components": {"run": _INT, "phase": _TEXT, "name": _TEXT, "tokens": _INT, "seconds": _REAL},
    "tokens": {"run": _INT, "n_past": _INT, "seconds": _REAL},
    "perplexities": {"model": _TEXT, "type": _TEXT, "value": _REAL, "error": _REAL, "tokens": _INT},
}  # fmt: skip


MOST_COUNTED = 1 << 31
LEAST_SECONDS, MOST_SECONDS = 1e-12, 1e9
"""Of a sample, and of anything; decades are no measurement, and what is computed of them has no end."""
_MOST_PERPLEXITY = 1e9


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A file of results, for reading. AnalysisError where it is none."""
    if not path.is_file():
        raise AnalysisError("no such file", path=path)
    try:
        # for writing only so that SQLite takes back what a killed sweep had begun to write
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as base:
            check(base, path)
            yield base
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter where SQLite's own message names what is damaged
        raise AnalysisError(f"cannot be read: {error}", path=path) from None


def check(base: sqlite3.Connection, path: Path) -> None:
    """AnalysisError unless the tables are those of a sweep, and nothing runs when they are used."""
    base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_CELL_BYTES)
    base.execute("PRAGMA trusted_schema = OFF")
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise AnalysisError(f"has {size} bytes, expected at most {_MOST_BYTES}", path=path)
    (application,) = base.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION:
        raise AnalysisError("is no file of results of q4engine sweep", path=path)
    if not FIRST <= (version := version_of(base)) <= FORMAT:
        raise AnalysisError(f"has version {version} of the results' format, expected {FORMAT}", path=path)
    schema = _FIRST_SCHEMA if version == FIRST else SCHEMA
    for kind, name, made_by in base.execute("SELECT type, name, sql FROM sqlite_master"):
        if kind == "trigger" or (name in schema and str(made_by).split() != schema[name].split()):
            raise AnalysisError(f"has a {kind} {name!r} that q4engine sweep has not made", path=path)


def version_of(base: sqlite3.Connection) -> int:
    (version,) = base.execute("PRAGMA user_version").fetchone()
    return int(version)


def rows(base: sqlite3.Connection, path: Path, table: str, order: str = "") -> Iterator[tuple[Any, ...]]:
    """A table's rows, their values of the types that belong there. AnalysisError where they are not."""
    columns, absent = _COLUMNS[table], {}
    if version_of(base) == FIRST:
        if table in _LATER_TABLES:
            return
        absent = _LATER_AXES if table == "combinations" else {}
    known: set[tuple[type, ...]] = set()
    found = ", ".join(absent.get(name, name) for name in columns)
    most = min(MOST_ROWS, _MOST_OF.get(table, MOST_ROWS))
    asked = f"SELECT {found} FROM {table} {order} LIMIT {most + 1}"
    for number, row in enumerate(base.execute(asked)):
        if number == most:
            raise AnalysisError(f"has more than {most} {table}", path=path)
        kinds = tuple(map(type, row))
        if kinds not in known:
            for (name, allowed), value in zip(columns.items(), row, strict=True):
                if type(value) not in allowed:
                    raise AnalysisError(f"{table}: {name} is {value!r}, a {type(value).__name__}", path=path)
            known.add(kinds)
        yield row


def facts(base: sqlite3.Connection, path: Path) -> dict[int, Mapping[str, Any]]:
    """Objects by their number."""
    found: dict[int, Mapping[str, Any]] = {}
    signs = 0
    for number, text in rows(base, path, "facts"):
        signs += sum(map(text.count, ",[{"))
        if signs > _MOST_SIGNS:
            raise AnalysisError("has facts of more values than any sweep", path=path)
        found[number] = json_object(text, path)
    return found


def combinations(base: sqlite3.Connection, path: Path) -> Iterator[tuple[int, str, list[Any]]]:
    """Number, hash, and a value of each axis."""
    for number, known_by, *values in rows(base, path, "combinations"):
        for axis, value in zip(AXES, values, strict=True):
            if isinstance(value, int) and not (axis == "threads") <= value <= MOST_COUNTED:
                raise AnalysisError(f"is damaged: a combination with {axis} {value}", path=path)
        yield number, known_by, values


def _is_time(seconds: float) -> bool:
    return 0 <= seconds <= MOST_SECONDS


def json_object(text: str, path: Path) -> dict[str, Any]:
    """AnalysisError where the text is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise AnalysisError(f"is damaged: {text[:80]!r} is no JSON object", path=path)
    return found


def latest_runs(base: sqlite3.Connection, path: Path) -> list[tuple[Any, ...]]:
    """Of each combination and block the latest attempt, in the order in which they were made."""
    found: dict[tuple[int, int], tuple[Any, ...]] = {}
    for row in rows(base, path, "runs"):
        _, combination, block, attempt, state, _, _, seconds, *_ = row
        if not 0 <= block < MOST_BLOCKS or state not in STATES or not _is_time(seconds):
            raise AnalysisError(f"is damaged: a run of block {block}, {state!r}, {seconds} s", path=path)
        before = found.get((combination, block))
        if before is None or attempt > before[3]:
            found[combination, block] = row
    return sorted(found.values())


def samples(base: sqlite3.Connection, path: Path) -> Iterator[tuple[int, str, int, float]]:
    """Run, phase, tokens and seconds, those of a run and phase in their order."""
    for run, phase, _, tokens, seconds in rows(base, path, "samples", "ORDER BY run, phase, number"):
        if not (tokens >= 0 and _is_time(seconds) and seconds >= LEAST_SECONDS):
            raise AnalysisError(f"is damaged: a sample of {tokens} tokens in {seconds} s", path=path)
        yield run, phase, tokens, seconds


def components(base: sqlite3.Connection, path: Path) -> Iterator[tuple[int, str, str, int, float]]:
    """Run, phase, operation, tokens and seconds."""
    for run, phase, name, tokens, seconds in rows(base, path, "components"):
        if not (tokens >= 0 and _is_time(seconds)):
            raise AnalysisError(f"is damaged: {tokens} tokens of {name!r} in {seconds} s", path=path)
        yield run, phase, name, tokens, seconds


def tokens(base: sqlite3.Connection, path: Path) -> Iterator[tuple[int, int, float]]:
    """Run, tokens before it, and seconds of each token generated, those of a run in their order."""
    for run, n_past, seconds in rows(base, path, "tokens", "ORDER BY run, n_past"):
        if not (0 <= n_past <= MOST_COUNTED and _is_time(seconds)):
            raise AnalysisError(f"is damaged: a token behind {n_past} took {seconds} s", path=path)
        yield run, n_past, seconds


def perplexities(base: sqlite3.Connection, path: Path) -> Iterator[tuple[str, str, float]]:
    """Model and type as the plan names them, and their perplexity."""
    for model, kind, value, error, _ in rows(base, path, "perplexities"):
        if not (0 < value <= _MOST_PERPLEXITY and error >= 0):
            raise AnalysisError(f"is damaged: a perplexity of {value} with an error of {error}", path=path)
        yield model, kind, value
