"""Captures of every kind, changed: what is read is judged, and what must hold of any capture is checked."""

from __future__ import annotations

import math
import random
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.judging import load
from analysis.readers import read
from analysis.reports import data
from analysis.table import Table
from fuzz.harness import Folder
from fuzz.mutations import mutated_bytes, mutated_text

_SAMPLES = Path(__file__).resolve().parents[1] / "data"
_TOLERANCE = 1e-9


class Captures:
    """Seeds are the recorded captures of tests/data, cut to a size that is quick to read."""

    refused = (AnalysisError,)

    def __init__(self) -> None:
        self._folder = Folder()
        names = [path for path in sorted(_SAMPLES.iterdir()) if path.suffix in (".csv", ".json", ".txt")]
        self._samples = [(path.suffix, "".join(path.read_text().splitlines(keepends=True)[:60])) for path in names]

    def case(self, rng: random.Random) -> None:
        suffix, text = rng.choice(self._samples)
        content = mutated_text(text, rng).encode("utf-8", "replace")
        if rng.random() < 0.2:
            content = mutated_bytes(content, rng, 2)
        path = Path(self._folder.name) / f"case{suffix}"
        path.write_bytes(content)
        lenient = rng.random() < 0.3
        table = read(path, None, lenient)
        assert _same(table, read(path, None, lenient)), "what is read twice differs"
        if rng.random() < 0.2:
            capture = load(path)
            for phase in capture.judged():
                for name, ratio in phase.judgement.stalls.ratios.items():
                    share = ratio.number()
                    assert math.isnan(share) or -_TOLERANCE <= share <= 1 + _TOLERANCE, f"{name} is {share}"
            data.render([capture])


def _same(one: Table, other: Table) -> bool:
    return bool(one.frame.equals(other.frame)) and str(one.meta) == str(other.meta)
