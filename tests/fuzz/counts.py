"""How many cases of each target were run so far, in a file: the next run goes on with seeds of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypedDict

from fuzz.harness import Outcome


class Row(TypedDict):
    """Of one target, over all runs."""

    cases: int
    refused: int
    cpu_seconds: float
    next_seed: int


class Counts:
    """A file of JSON, written after every round: an interrupted run loses the round that it was in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.by_target: dict[str, Row] = json.loads(path.read_text()) if path.exists() else {}

    @property
    def cases(self) -> int:
        return sum(row["cases"] for row in self.by_target.values())

    def next_seed(self, name: str) -> int:
        return self.by_target[name]["next_seed"] if name in self.by_target else 0

    def add(self, name: str, outcome: Outcome) -> None:
        """A failed case is no case that was run, but its seed is not taken again."""
        row = self.by_target.setdefault(name, Row(cases=0, refused=0, cpu_seconds=0.0, next_seed=0))
        row["cases"] += outcome.cases
        row["refused"] += outcome.refused
        row["cpu_seconds"] = round(row.get("cpu_seconds", 0.0) + outcome.cpu_seconds, 1)
        row["next_seed"] += outcome.cases + (outcome.failure is not None)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        beside.write_text(json.dumps(self.by_target, indent=1) + "\n")
        beside.replace(self._path)

    def lines(self) -> list[str]:
        """A row a target and their sum, for people."""
        width = max(map(len, self.by_target), default=0)
        rows = [
            f"{name:{width}} {row['cases']:10} cases, {row['refused']:10} refused, {row['cpu_seconds']:8.0f} s of CPU"
            for name, row in self.by_target.items()
        ]
        seconds = sum(row["cpu_seconds"] for row in self.by_target.values())
        refused = sum(row["refused"] for row in self.by_target.values())
        return [*rows, f"{'all':{width}} {self.cases:10} cases, {refused:10} refused, {seconds:8.0f} s of CPU"]
