"""Results in one SQLite file: every run with its samples, and what it ran on. docs/experiments.md has the schema.

A run comes in whole, in one transaction, when it is over: a sweep that is killed at any moment leaves runs that are
there and runs that are not.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from q4engine.errors import Q4Error, shown
from q4engine.sweep.combination import NAMES, Combination

FORMAT = 1
APPLICATION = 0x71347377
"""SQLite's application_id of these files: "q4sw"."""
DONE, NOISY, FAILED, TIMEOUT = "done", "noisy", "failed", "timeout"
STATES = (DONE, NOISY, FAILED, TIMEOUT)

_COLUMNS = ("attempt", "state", "reason", "started", "seconds")
_SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE models (path TEXT PRIMARY KEY, bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE facts (id INTEGER PRIMARY KEY, hash TEXT UNIQUE NOT NULL, json TEXT NOT NULL);
CREATE TABLE combinations (
  id INTEGER PRIMARY KEY, hash TEXT UNIQUE NOT NULL, engine TEXT NOT NULL, build TEXT, model TEXT, type TEXT,
  threads INTEGER, mask TEXT, features TEXT, prompt INTEGER, generate INTEGER, depth INTEGER, batch INTEGER);
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, combination INTEGER NOT NULL REFERENCES combinations, block INTEGER NOT NULL,
  attempt INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, started TEXT NOT NULL, seconds REAL NOT NULL,
  machine INTEGER REFERENCES facts, engine INTEGER REFERENCES facts, conditions INTEGER REFERENCES facts,
  UNIQUE (combination, block, attempt));
CREATE TABLE samples (
  run INTEGER NOT NULL REFERENCES runs, phase TEXT NOT NULL, number INTEGER NOT NULL, tokens INTEGER NOT NULL,
  seconds REAL NOT NULL, PRIMARY KEY (run, phase, number)) WITHOUT ROWID;
CREATE TABLE components (
  run INTEGER NOT NULL REFERENCES runs, phase TEXT NOT NULL, name TEXT NOT NULL, tokens INTEGER NOT NULL,
  seconds REAL NOT NULL, PRIMARY KEY (run, phase, name)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Sample:
    """``tokens`` of a phase took ``seconds``; of a component (``name``) it is its share of a call's time."""

    phase: str
    tokens: int
    seconds: float
    name: str = ""


@dataclass(frozen=True)
class Run:
    """One run that is over. ``reason``: why it failed, or what makes it doubtful. Facts are data for JSON."""

    combination: Combination
    block: int
    state: str
    reason: str = ""
    attempt: int = 0
    started: str = ""
    seconds: float = 0.0
    samples: Sequence[Sample] = ()
    components: Sequence[Sample] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)


class Results:
    """The file of a sweep, open for writing by one process. Use as a context manager.

    Q4Error where it cannot be written, is another program's, another plan's or in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locked(path)
        try:
            with _one_line(path, _WRITTEN):
                self._base = sqlite3.connect(path, isolation_level=None, timeout=60.0)
                self._prepare()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._base.close()
        os.close(self._lock)  # after SQLite's own: closing any descriptor of the file ends the locks of a process

    def begin(self, name: str, settings: Mapping[str, Any], models: Mapping[Path, os.stat_result]) -> None:
        """Says which plan it is. Q4Error where the file is of one with other settings, or a model has changed."""
        with _one_line(self.path, _WRITTEN), self._transaction():
            about = self.about()
            if not about:
                created = datetime.now(UTC).isoformat(timespec="seconds")
                self._base.executemany("INSERT INTO about VALUES (?, ?)", [("name", name), ("created", created)])
            was = json.loads(about.get("settings", "{}"))
            if different := _difference(was, settings):
                raise Q4Error(f"{self.path}: {different}; -o names another file")
            text = json.dumps(_together(was, settings), sort_keys=True)
            self._base.execute("INSERT OR REPLACE INTO about VALUES ('settings', ?)", (text,))
            for path, status in models.items():
                self._check_model(path, status)

    def _check_model(self, path: Path, status: os.stat_result) -> None:
        now = (status.st_size, status.st_mtime_ns)
        was = self._base.execute("SELECT bytes, modified_ns FROM models WHERE path = ?", (str(path),)).fetchone()
        if was is None:
            self._base.execute("INSERT INTO models VALUES (?, ?, ?)", (str(path), *now))
        elif was != now:
            raise Q4Error(f"{path}: has changed since {self.path} was begun with it; -o names another file")

    def about(self) -> dict[str, str]:
        with _one_line(self.path):
            return dict(self._base.execute("SELECT key, value FROM about"))

    def add(self, run: Run) -> None:
        """Keeps a run. Q4Error where it cannot be written, and then nothing of it is kept."""
        with _one_line(self.path, _WRITTEN), self._transaction():
            facts = [self._fact(found) for found in (run.machine, run.engine, run.conditions)]
            given = (self._combination(run.combination), run.block, *(getattr(run, name) for name in _COLUMNS), *facts)
            columns = f"combination, block, {', '.join(_COLUMNS)}, machine, engine, conditions"
            cursor = self._base.execute(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", given)
            numbers: dict[str, int] = {}
            for sample in run.samples:
                number = numbers[sample.phase] = numbers.get(sample.phase, -1) + 1
                row = (cursor.lastrowid, sample.phase, number, sample.tokens, sample.seconds)
                self._base.execute("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", row)
            rows = [(cursor.lastrowid, each.phase, each.name, each.tokens, each.seconds) for each in run.components]
            self._base.executemany("INSERT INTO components VALUES (?, ?, ?, ?, ?)", rows)

    def runs(self) -> list[Run]:
        """Of each combination and block the latest attempt, in the order in which they were made."""
        return list(_latest(self._base, self.path))

    def _prepare(self) -> None:
        (application,) = self._base.execute("PRAGMA application_id").fetchone()
        (tables,) = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (version,) = self._base.execute("PRAGMA user_version").fetchone()
        if not tables and not application:
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    self._base.execute(statement)
                self._base.execute(f"PRAGMA application_id = {APPLICATION}")
                self._base.execute(f"PRAGMA user_version = {FORMAT}")
        elif application != APPLICATION:
            raise Q4Error(f"{self.path}: is no file of results; -o names another")
        elif version != FORMAT:
            raise Q4Error(f"{self.path}: has version {version} of the results' format, expected {FORMAT}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._base.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled it back already
                self._base.execute("ROLLBACK")
            raise

    def _combination(self, combination: Combination) -> int:
        columns, marks = ", ".join(("hash", *NAMES)), ", ".join("?" * (len(NAMES) + 1))
        row = (combination.hash, *combination.values)
        self._base.execute(f"INSERT OR IGNORE INTO combinations ({columns}) VALUES ({marks})", row)
        (number,) = self._base.execute("SELECT id FROM combinations WHERE hash = ?", row[:1]).fetchone()
        return int(number)

    def _fact(self, found: Mapping[str, Any]) -> int | None:
        """What many runs have in common stands there once."""
        if not found:
            return None
        text = json.dumps(found, sort_keys=True)
        known_by = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._base.execute("INSERT OR IGNORE INTO facts (hash, json) VALUES (?, ?)", (known_by, text))
        (number,) = self._base.execute("SELECT id FROM facts WHERE hash = ?", (known_by,)).fetchone()
        return int(number)


def read_results(path: Path) -> list[Run]:
    """The latest attempt of every run, in their order. Q4Error as for `Results`.

    Opened for writing only so that SQLite takes back what a killed sweep had begun to write.
    """
    if not path.is_file():
        raise Q4Error(f"{path}: no such file")
    with _one_line(path), contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as base:
        (application,) = base.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION:
            raise Q4Error(f"{path}: is no file of results of q4engine sweep")
        return list(_latest(base, path))


def _latest(base: sqlite3.Connection, path: Path) -> Iterator[Run]:
    with _one_line(path):
        facts = {number: json.loads(text) for number, text in base.execute("SELECT id, json FROM facts")}
        columns = ", ".join(NAMES)
        combinations = {
            number: Combination(tuple(values))
            for number, *values in base.execute(f"SELECT id, {columns} FROM combinations")
        }
        samples = _by_run(
            base.execute("SELECT run, phase, tokens, seconds, '' FROM samples ORDER BY run, phase, number")
        )
        components = _by_run(base.execute("SELECT run, phase, tokens, seconds, name FROM components"))
        rows = base.execute(
            f"SELECT id, combination, block, {', '.join(_COLUMNS)}, machine, engine, conditions FROM runs AS run "
            "WHERE NOT EXISTS (SELECT 1 FROM runs AS later WHERE later.combination = run.combination "
            "AND later.block = run.block AND later.attempt > run.attempt) ORDER BY id"
        )
        for number, combination, block, attempt, state, reason, started, seconds, *others in rows:
            told = tuple(samples.get(number, ())), tuple(components.get(number, ()))
            known = (facts.get(other, {}) for other in others)
            yield Run(combinations[combination], block, state, reason, attempt, started, seconds, *told, *known)


def _by_run(rows: Iterator[tuple[int, str, int, float, str]] | sqlite3.Cursor) -> dict[int, list[Sample]]:
    found: dict[int, list[Sample]] = {}
    for run, phase, tokens, seconds, name in rows:
        found.setdefault(run, []).append(Sample(phase, tokens, seconds, name))
    return found


def _difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What two plans' settings say differently, in words; tables may have rows that the other has not."""
    for key in sorted(set(was) & set(now)):
        one, other = was[key], now[key]
        if isinstance(one, dict) and isinstance(other, dict):
            names = sorted(name for name in set(one) & set(other) if one[name] != other[name])
            if names:
                return f"was begun with another [{key}.{names[0]}]"
        elif one != other:
            return f"was begun with {key} = {shown(one)}, the plan has {shown(other)}"
    return ""


def _together(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    return {key: {**was.get(key, {}), **value} if isinstance(value, dict) else value for key, value in now.items()}


def _locked(path: Path) -> int:
    """A descriptor that holds the file for this process."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise Q4Error(f"{path}: cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Q4Error(f"{path}: another sweep is writing it") from None
    except OSError:  # a file system without locks
        pass
    return descriptor


_WRITTEN, _READ = "cannot be written", "cannot be read"


@contextlib.contextmanager
def _one_line(path: Path, what: str = _READ) -> Iterator[None]:
    """SQLite's errors, and what else a damaged file makes of its content, with the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        raise Q4Error(f"{path}: {what}: {error}") from None
    except (json.JSONDecodeError, KeyError) as error:
        raise Q4Error(f"{path}: is damaged: {error!r}") from None
