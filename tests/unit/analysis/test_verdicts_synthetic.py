"""Every synthetic case against the verdicts that a person wrote for it, under its own labels and under swapped ones."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from synthetic_cases import MISSING_CASES, SAMPLING_CASES, SLOT_CASES, STALL_CASES, Case
from synthetic_formats import FORMAT_CASES
from synthetic_kinds import KIND_CASES
from synthetic_scopes import SCOPE_CASES

from analysis.judging import Capture, JudgedPhase, Options, load

CASES = (*STALL_CASES, *MISSING_CASES, *SAMPLING_CASES, *SLOT_CASES, *FORMAT_CASES, *KIND_CASES, *SCOPE_CASES)
SWAPPED = {"prefill": "decode", "decode": "prefill"}
# neither name says anything about the work: a rule that reads labels in any way would answer differently
MEANINGLESS = {"prefill": "warm coffee", "decode": "tea"}


class Loader:
    """Writes and judges each case once for each set of labels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[tuple[str, str], Capture] = {}
        self.written = 0

    def __call__(self, case: Case, names: dict[str, str] | None = None) -> Capture:
        key = (case.name, str(names))
        if key not in self.known:
            self.written += 1
            folder = self.folder / f"{self.written}"
            folder.mkdir()
            self.known[key] = _load(case, folder, names or {})
        return self.known[key]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    return Loader(tmp_path_factory.mktemp("synthetic"))


def _load(case: Case, folder: Path, names: dict[str, str]) -> Capture:
    path = case.write(folder, names)
    options: dict[str, Any] = dict(case.options or {})
    if "markers" in options:
        options["markers"] = folder / options["markers"]
    assert set(options) <= {field.name for field in fields(Options)}
    return load(path, Options(**options))


def _said(phase: JudgedPhase) -> tuple[str, str, str, str, str, list[str]]:
    verdicts = (phase.judgement.combined, *phase.judgement.rules)
    steps = [str(verdict.outcome) for _, verdict in phase.every_step()]
    combined, stalls, roofline, topdown, _ = (str(verdict.outcome) for verdict in verdicts)
    return combined, stalls, roofline, topdown, str(phase.judgement.combined.confidence), steps


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 120
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdicts(case: Case, judged: Loader) -> None:
    capture = judged(case)
    assert len(capture.judged()) == len(case.expected), [phase.title for phase in capture.judged()]
    for phase, expected in zip(capture.judged(), case.expected, strict=True):
        combined, stalls, roofline, topdown, confidence, steps = _said(phase)
        explanation = [verdict.text for verdict in (phase.judgement.combined, *phase.judgement.rules)]
        wanted = (expected.combined, expected.stalls, expected.roofline, expected.topdown)
        assert (combined, stalls, roofline, topdown) == wanted, (phase.title, explanation)
        if expected.confidence:
            assert confidence == expected.confidence, (phase.title, phase.judgement.combined.reasons)
        if expected.waiting:
            assert phase.judgement.waiting.outcome == expected.waiting, phase.judgement.waiting.text
        if expected.step:
            assert set(steps) == {expected.step}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("names", [SWAPPED, MEANINGLESS], ids=["swapped", "meaningless"])
def test_labels_change_nothing(case: Case, names: dict[str, str], judged: Loader) -> None:
    own = judged(case)
    other = judged(case, names)
    assert [_said(phase) for phase in own.judged()] == [_said(phase) for phase in other.judged()]
    texts = [[verdict.text for verdict in phase.judgement.rules] for phase in own.judged()]
    assert texts == [[verdict.text for verdict in phase.judgement.rules] for phase in other.judged()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_findings_show_their_margins(case: Case, judged: Loader) -> None:
    for phase in judged(case).judged():
        for verdict in phase.judgement.rules:
            if verdict.is_finding:
                assert verdict.checks
                assert "margin" in verdict.text
                for check in verdict.checks:
                    assert check.margin == pytest.approx(
                        check.value - check.threshold if check.at_least else check.threshold - check.value
                    )
            else:
                assert not verdict.checks
                assert int(verdict.confidence) == 0
                assert len(verdict.text) > len(verdict.outcome)
