"""Plans of `sweep` and its files of results: bytes, lines and values changed; what is read can be reported."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path

from swept import synthetic_plan, write_results

from analysis import sweep_results
from analysis.errors import AnalysisError
from analysis.reports import sweep_report, text
from analysis.sweep_file import SCHEMA
from fuzz.harness import Folder
from fuzz.mutations import NUMBERS, mutated_bytes, mutated_text
from q4engine.errors import Q4Error
from q4engine.sweep import export
from q4engine.sweep.plan_file import as_text, read_plan
from q4engine.sweep.results import read_results

_PLAN = """
name = "synthetic"
repetitions = 4
budget = 100.5
skip = ["threads > cpus", "engine == 'mine' and prompt % 7 in [1, 2]", "not (1 < depth * 2 <= batch // 3)"]
[axes]
model = ["a.gguf", "b.gguf"]
type = ["", "q8_0"]
engine = ["native", "numpy", "mine"]
threads = [1, 2]
prompt = [16, 64, 256]
mask = ["", "0x1"]
[engines.mine]
command = ["./run", "{model}", "-n", "{generate}", "{{x}}"]
environment = { A = "b" }
prefill = { seconds = 'took ([0-9.]+) s' }
decode = { rate = '([0-9.]+) tok' }
[builds.other]
python = "/usr/bin/python3"
"""
_VALUES = (
    "NULL", "''", "'a'", "x'00ff'", "'[[['", "'{}'", "'[1]'", "'1'", "-1", "0", "0.5", "-0.0", "1e-320", "1e308",
    "9e999", "'done'", "'noisy'", "'failed'", "'prefill'", "'load'", "'native'", "char(27) || '[2J' || char(10)",
    """'{"cpu": [1], "commit": {}, "model_size": -1}'""", *map(str, (number for number in NUMBERS if number < 1 << 63)),
)  # fmt: skip
_COUNTED = {
    "about": "length(key)", "models": "bytes", "samples": "(run + number)", "components": "run", "tokens": "run",
    "perplexities": "tokens",
}  # fmt: skip


class Sweeps:
    """A plan, or results, a case."""

    refused = (Q4Error, AnalysisError)

    def __init__(self) -> None:
        self._folder = Folder()
        self._path, self._plan_path = (Path(self._folder.name) / name for name in ("r.sqlite", "plan.toml"))
        plan = synthetic_plan({"threads": [1, 2], "prompt": [16, 64]}, blocks=6)
        write_results(self._path, plan, lambda *_: [0.1, 0.2])
        with contextlib.closing(sqlite3.connect(self._path)) as base:
            base.executescript(
                "INSERT INTO tokens SELECT id, 16, 0.1 FROM runs; INSERT INTO perplexities VALUES ('', '', 9, 0.1, 99)"
            )
            tables = list(SCHEMA)
            self._columns = [(name, row[1]) for name in tables for row in base.execute(f"PRAGMA table_info({name})")]
        self._results = self._path.read_bytes()

    def case(self, rng: random.Random) -> None:
        if rng.random() < 0.5:
            self._plan_path.write_text(mutated_text(_PLAN, rng, 3), "utf-8", "replace")
            as_text(read_plan(self._plan_path))
            return
        for path in self._path.parent.glob("r.sqlite*"):
            path.unlink()
        self._path.write_bytes(mutated_bytes(self._results, rng, 3) if rng.random() < 0.4 else self._results)
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            self._change(rng)
        try:
            runs = read_results(self._path)
            export.to_csv(runs), export.to_jsonl(runs)
        finally:
            found = sweep_results.read(self._path)
            if found.times:
                text.render(sweep_report.of_sweep(found), "case")

    def _change(self, rng: random.Random) -> None:
        """Values of some rows become others."""
        with contextlib.closing(sqlite3.connect(self._path)) as base, base:
            for _ in range(rng.choice((0, 1, 1, 2))):
                table, column = rng.choice(self._columns)
                where = rng.choice(("", f"WHERE {_COUNTED.get(table, 'id')} % {rng.randint(2, 9)} = 0"))
                with contextlib.suppress(sqlite3.IntegrityError):
                    base.execute(f"UPDATE {table} SET {column} = {rng.choice(_VALUES)} {where}")
