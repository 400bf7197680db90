"""Every reader of analysis, one target each: what its tool prints, changed, is a table that holds or one line.

Seeds are the files of tests/data/printed/READER. A case is read as what it is taken for, or forced upon the reader.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from models.tiny import TINY_LLAMA, write_tiny

from analysis import function_shares, model_bytes
from analysis.errors import AnalysisError
from analysis.judging import load_runs
from analysis.phase import METRIC_PREFIX
from analysis.readers import formats, read
from analysis.reports import data
from analysis.table import Table
from fuzz.harness import Folder
from fuzz.mutations import mutated_bytes, mutated_text

PRINTED = Path(__file__).resolve().parents[1] / "data" / "printed"
SCRIPT = "perf-script"
JUDGED, TWICE, FORCED, LENIENT, BYTES = 0.03, 0.05, 0.3, 0.3, 0.1
"""Shares of the cases that are also judged and reported, read twice, forced, read leniently, broken in their bytes."""

FEW_RUNS = 8
"""A report of each takes its time: some 10 ms."""


class Reader:
    """A format of `analysis.readers.formats`, by its name."""

    refused = (AnalysisError,)

    def __init__(self, name: str) -> None:
        self._name = name
        self._samples = [path.read_text(encoding="utf-8") for path in sorted((PRINTED / name).iterdir())]
        self._folder = Folder()
        self._path = Path(self._folder.name) / "case.csv"

    def case(self, rng: random.Random) -> None:
        self._write(rng)
        forced, lenient = self._name if rng.random() < FORCED else None, rng.random() < LENIENT
        chance = rng.random()
        table = read(self._path, forced, lenient)
        for one in (table, *table.runs):
            _check(one)
        if chance < TWICE:
            again = read(self._path, forced, lenient)
            assert table.frame.equals(again.frame) and str(table.meta) == str(again.meta), "what is read twice differs"
        if chance < JUDGED and len(table.runs) < FEW_RUNS:
            data.render(load_runs(self._path))

    def _write(self, rng: random.Random) -> None:
        changes = rng.choice((1, 1, 2, 4))
        content = mutated_text(rng.choice(self._samples), rng, changes).encode("utf-8", "replace")
        self._path.write_bytes(mutated_bytes(content, rng, 2) if rng.random() < BYTES else content)


class Script(Reader):
    """`perf script`, as `analysis.functions` reads it, with and without markers."""

    def __init__(self) -> None:
        super().__init__(SCRIPT)
        self._markers = Path(self._folder.name) / "markers.csv"
        self._markers.write_text("time_ns,n_past,n_eval,phase\n0,0,4,prefill\n12345700000000,4,1,decode\n")

    def case(self, rng: random.Random) -> None:
        self._write(rng)
        markers = self._markers if rng.random() < 0.5 else None
        found = function_shares.read_functions(self._path, markers, 0.0, rng.random() < LENIENT).shares
        for share in found:
            assert 0 <= share.share <= 1 + 1e-9, f"{share.symbol} has a share of {share.share}"


class ModelBytes:
    """The sizes that `--model FILE.gguf` takes from a model."""

    refused = (AnalysisError,)

    def __init__(self) -> None:
        self._folder = Folder()
        self._path = write_tiny(Path(self._folder.name) / "case.gguf", TINY_LLAMA)
        self._content = self._path.read_bytes()

    def case(self, rng: random.Random) -> None:
        head = rng.choice((60, 400, 2000, 20_000))
        self._path.write_bytes(mutated_bytes(self._content[:head], rng, 3) + self._content[head:])
        found = model_bytes.read(self._path)
        assert found.weights >= 0 and found.kv >= 0


def _check(table: Table) -> None:
    frame = table.frame
    value, running = frame["value"].to_numpy(), frame["running"].to_numpy()
    counted = (frame["status"] == "ok").to_numpy()
    ratios = frame["event"].str.startswith(METRIC_PREFIX).to_numpy(dtype=bool)
    assert set(frame["status"]) <= {"ok", "not counted", "not supported"}
    assert np.isfinite(value[counted]).all(), "a count that is no number"
    assert (value[counted & ~ratios] >= 0).all() and (value[counted & ~ratios] < 2.0**64).all(), "no 64-bit count"
    assert (np.isnan(running) | ((running >= 0) & (running <= 1))).all(), "a share of time that is none"
    assert not (frame["duration_s"].to_numpy() < 0).any(), "an interval of less than nothing"
    assert all("\n" not in note for note in table.notes), "a note of several lines"


READERS: dict[str, Callable[[], Reader | ModelBytes]] = {
    **{f"read-{name}": partial(Reader, name) for name in formats.NAMES},
    f"read-{SCRIPT}": Script,
    "read-model-bytes": ModelBytes,
}
