"""Small observed runs, and captures as tests read them."""

from __future__ import annotations

import csv
from pathlib import Path

from q4engine.engine import Engine, Session
from q4engine.profiling.observer import Observation, observe

PROMPT = [(i * 37 + 5) % 300 for i in range(15)]


def observed_run(model: Path, what: Observation, *, n_threads: int = 1, steps: int = 3) -> tuple[Session, list[str]]:
    """A prompt of 15 tokens in batches of 12, then single tokens. Also the notes to the user."""
    session = Engine.load(model, n_threads=n_threads).session(n_ctx=64, n_batch=12)
    notes: list[str] = []
    with observe(session, what, notes.append):
        session.decode(PROMPT)
        for token in range(steps):
            session.decode([token])
    return session, notes


def read_capture(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Header and rows of a capture, by the csv module alone."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("# ")]
    header = dict(line.removeprefix("# ").split(": ", 1) for line in comments[1:])
    rows = list(csv.DictReader(lines[len(comments) :]))
    assert all(None not in row and None not in row.values() for row in rows), "a row of another length"
    return {key: value.strip() for key, value in header.items()}, rows


def calls_of(rows: list[dict[str, str]]) -> list[tuple[int, int]]:
    """(n_past, n_eval) of the call rows."""
    return [(int(row["n_past"]), int(row["n_eval"])) for row in rows if not row["op"]]
