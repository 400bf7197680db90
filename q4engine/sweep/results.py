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
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from analysis import sweep_file
from analysis.errors import AnalysisError
from q4engine.errors import Q4Error, shown
from q4engine.sweep.combination import NAMES, Combination
from q4engine.sweep.scored_models import Perplexity

STATES = DONE, NOISY, FAILED, TIMEOUT = sweep_file.STATES

_COLUMNS = ("attempt", "state", "reason", "started", "seconds")


@dataclass(frozen=True, slots=True)
class Sample:
    """``tokens`` of a phase took ``seconds``; of a component (``name``) it is its share of a call's time."""

    phase: str
    tokens: int
    seconds: float
    name: str = ""


@dataclass(frozen=True)
class Run:
    """One run that is over. ``reason``: why it failed, or what makes it doubtful. Facts are data for JSON.

    ``tokens``: of each token generated, how many were before it and its seconds.
    """

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
    tokens: Sequence[tuple[int, float]] = ()


class Results:
    """The file of a sweep, open for writing by one process, of which any thread may. Use as a context manager.

    Q4Error where it cannot be written, is another program's, another plan's or in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.RLock()
        self._held: dict[str, int] = {}
        self._lock = _locked(path)
        try:
            with _one_line(path, _WRITTEN):
                self._base = sqlite3.connect(path, isolation_level=None, timeout=60.0, check_same_thread=False)
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
        with self._turn, _one_line(self.path, _WRITTEN), self._transaction():
            about = self.about()
            if not about:
                created = datetime.now(UTC).isoformat(timespec="seconds")
                self._base.executemany("INSERT INTO about VALUES (?, ?)", [("name", name), ("created", created)])
            was = sweep_file.json_object(about.get("settings", "{}"), self.path)
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
        with self._turn, _one_line(self.path):
            return dict(sweep_file.rows(self._base, self.path, "about"))

    def add(self, run: Run) -> None:
        """Keeps a run. Q4Error where it cannot be written, and then nothing of it is kept."""
        more = {table: len(getattr(run, table)) for table in self._held}
        with self._turn, _one_line(self.path, _WRITTEN), self._transaction():
            for table, count in self._held.items():
                if count + more[table] > sweep_file.MOST_ROWS:
                    expected = f"holds no more than {sweep_file.MOST_ROWS} {table}"
                    raise Q4Error(f"{self.path}: {expected}; -o names another file")
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
            each_token = [(cursor.lastrowid, *token) for token in run.tokens]
            self._base.executemany("INSERT INTO tokens VALUES (?, ?, ?)", each_token)
            self._held = {table: count + more[table] for table, count in self._held.items()}

    def add_perplexities(self, found: Sequence[Perplexity]) -> None:
        """Keeps them. Q4Error where they cannot be written."""
        rows = [(each.model, each.type, each.value, each.error, each.n_tokens) for each in found]
        with self._turn, _one_line(self.path, _WRITTEN), self._transaction():
            self._base.executemany("INSERT OR REPLACE INTO perplexities VALUES (?, ?, ?, ?, ?)", rows)

    def perplexities(self) -> set[tuple[str, str]]:
        """Models and types that were scored."""
        with self._turn, _one_line(self.path):
            return {(model, kind) for model, kind, _ in sweep_file.perplexities(self._base, self.path)}

    def runs(self) -> list[Run]:
        """Of each combination and block the latest attempt, in the order in which they were made."""
        with self._turn, _one_line(self.path):
            return list(_latest(self._base, self.path))

    def _prepare(self) -> None:
        (application,) = self._base.execute("PRAGMA application_id").fetchone()
        (tables,) = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables and not application:
            with self._transaction():
                for statement in sweep_file.SCHEMA.values():
                    self._base.execute(statement)
                self._base.execute(f"PRAGMA application_id = {sweep_file.APPLICATION}")
                self._base.execute(f"PRAGMA user_version = {sweep_file.FORMAT}")
        try:
            sweep_file.check(self._base, self.path)
        except AnalysisError as error:
            raise Q4Error(f"{error}; -o names another file") from None
        if sweep_file.version_of(self._base) == sweep_file.FIRST:
            with self._transaction():
                for statement in sweep_file.UPGRADE:
                    self._base.execute(statement)
        self._held = {
            table: self._base.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("samples", "components", "tokens")
        }

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
    """The latest attempt of every run, in their order. Q4Error as for `Results`."""
    with _one_line(path), sweep_file.opened(path) as base:
        return list(_latest(base, path))


def _latest(base: sqlite3.Connection, path: Path) -> Iterator[Run]:
    facts = sweep_file.facts(base, path)
    combinations = {number: Combination(tuple(values)) for number, _, values in sweep_file.combinations(base, path)}
    samples: dict[int, list[Sample]] = {}
    for number, phase, tokens, seconds in sweep_file.samples(base, path):
        samples.setdefault(number, []).append(Sample(sys.intern(phase), tokens, seconds))
    components: dict[int, list[Sample]] = {}
    for number, phase, name, tokens, seconds in sweep_file.components(base, path):
        components.setdefault(number, []).append(Sample(sys.intern(phase), tokens, seconds, sys.intern(name)))
    each_token: dict[int, list[tuple[int, float]]] = {}
    for number, n_past, seconds in sweep_file.tokens(base, path):
        each_token.setdefault(number, []).append((n_past, seconds))
    for row in sweep_file.latest_runs(base, path):
        number, combination, block, attempt, state, reason, started, seconds, *others = row
        told = tuple(samples.get(number, ())), tuple(components.get(number, ()))
        machine, engine, conditions = (facts.get(other, {}) for other in others)
        yield Run(
            combinations[combination], block, state, reason, attempt, started, seconds, *told, machine, engine,
            conditions, tuple(each_token.get(number, ())),
        )  # fmt: skip


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
    both = {key: {**was.get(key, {}), **value} if isinstance(value, dict) else value for key, value in now.items()}
    return {**was, **both}


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
    except AnalysisError as error:
        raise Q4Error(str(error)) from None
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise Q4Error(f"{path}: {what}: {error}") from None
    except (json.JSONDecodeError, KeyError) as error:
        raise Q4Error(f"{path}: is damaged: {error!r}") from None
