"""Every form in which tools print counts, by versions, options and locales: verdict and shares are EXPECTED.csv's."""

from __future__ import annotations

import csv
import math
from itertools import groupby
from pathlib import Path

import pytest

from analysis import function_shares
from analysis.errors import AnalysisError
from analysis.judging import Options, load_runs
from analysis.readers import formats
from analysis.reports import data

PRINTED = Path(__file__).resolve().parents[1] / "data" / "printed"
ROWS = list(csv.DictReader((PRINTED / "EXPECTED.csv").read_text(encoding="utf-8").splitlines()))
EXPECTED = {name: list(rows) for name, rows in groupby(ROWS, key=lambda row: row["file"])}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_kind(name: str) -> None:
    found = [phase for capture in load_runs(PRINTED / name) for phase in capture.judged()]
    assert [phase.title for phase in found] == [row["phase"] for row in EXPECTED[name]]
    for phase, row in zip(found, EXPECTED[name], strict=True):
        assert str(phase.judgement.combined.outcome) == row["verdict"]
        for key in ("be", "fe", "m"):
            assert _close(phase.metrics[key].number(), row[key]), key
        assert _close(phase.phase.duration_s, row["seconds"])
        shares = [c.running for c in phase.phase.counts.values() if c.running is not None and c.status == "ok"]
        assert _close(min(shares, default=math.nan), row["counted"])


def _close(found: float, expected: str) -> bool:
    return math.isnan(found) if not expected else math.isclose(found, float(expected), rel_tol=1e-3)


def test_every_file_has_its_answer() -> None:
    files = {str(path.relative_to(PRINTED)) for path in PRINTED.rglob("*") if path.parent != PRINTED and path.is_file()}
    assert {name for name in files if not name.startswith("perf-script/")} == set(EXPECTED)
    assert len(files) > 140


@pytest.mark.parametrize(
    ("name", "leaf"),
    [("chains.txt", "q4_gemv"), ("insn.txt", "ggml_vec_dot_q4_0_q8_0"), ("task-events.txt", "dot")],
)
def test_samples(name: str, leaf: str) -> None:
    found = function_shares.read_functions(PRINTED / "perf-script" / name, None, 0.0, lenient=False).shares
    assert leaf in [share.symbol for share in found]


@pytest.mark.long
@pytest.mark.parametrize("format_", formats.NAMES)
def test_a_forced_format_answers_or_says_why_not(format_: str) -> None:
    """Every file of the corpora as every format: a report, or one line."""
    for path in sorted(path for path in PRINTED.parent.rglob("*") if path.is_file()):
        for lenient in (False, True):
            try:
                assert data.render(load_runs(path, Options(format=format_, lenient=lenient)))
            except AnalysisError as refusal:
                assert "\n" not in str(refusal)
