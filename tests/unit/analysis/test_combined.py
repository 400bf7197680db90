"""The rules together (`verdicts.combined`): who leads, what agrees, and how much one rule alone is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.verdicts.combined import combine
from analysis.verdicts.counting import TO_SETTLE
from analysis.verdicts.verdict import Confidence, Outcome, Verdict

NOTHING = {
    rule: Verdict(rule, Outcome.NOT_MEASURED, f"not measured: {rule}") for rule in ("stalls", "roofline", "top-down")
}
STILL = Verdict("waiting", Outcome.NOT_WAITING, "not waiting: 0.0 %")


def said(rule: str, outcome: Outcome, confidence: Confidence = Confidence.HIGH, **more: object) -> Verdict:
    return replace(Verdict(rule, outcome, f"{outcome}: because", (), confidence), **more)  # type: ignore[arg-type]


def together(*verdicts: Verdict, waiting: Verdict = STILL) -> Verdict:
    by_rule = NOTHING | {verdict.rule: verdict for verdict in verdicts}
    return combine(by_rule["stalls"], by_rule["roofline"], by_rule["top-down"], waiting)


def test_waiting_leads_whatever_the_others_say() -> None:
    found = together(said("stalls", Outcome.MEMORY), waiting=said("waiting", Outcome.WAITING))
    assert (found.rule, found.outcome, found.confidence) == ("combined", Outcome.WAITING, Confidence.HIGH)


@pytest.mark.parametrize(
    ("stalls", "other", "outcome"),
    [
        (Outcome.MEMORY, Outcome.MEMORY, Outcome.MEMORY),
        (Outcome.BACKEND, Outcome.MEMORY, Outcome.MEMORY),
        (Outcome.BACKEND, Outcome.COMPUTE, Outcome.COMPUTE),
        (Outcome.BACKEND, Outcome.MIXED, Outcome.MIXED),
        (Outcome.COMPUTE_BY_STALLS, Outcome.COMPUTE, Outcome.COMPUTE),
        (Outcome.MEMORY, Outcome.COMPUTE, Outcome.DISAGREE),
        (Outcome.FRONTEND, Outcome.MEMORY, Outcome.DISAGREE),
        (Outcome.FRONTEND, Outcome.COMPUTE, Outcome.FRONTEND),
        (Outcome.NOT_BACKEND, Outcome.COMPUTE, Outcome.NOT_BACKEND),
    ],
)
def test_stalls_and_roofline(stalls: Outcome, other: Outcome, outcome: Outcome) -> None:
    assert together(said("stalls", stalls), said("roofline", other)).outcome is outcome


def test_one_rule_alone_is_medium_at_most_and_low_stays_low() -> None:
    assert together(said("stalls", Outcome.MEMORY)).confidence is Confidence.MEDIUM
    low = together(said("roofline", Outcome.MEMORY, Confidence.LOW), said("stalls", Outcome.BACKEND))
    assert low.outcome is Outcome.MEMORY and low.confidence is Confidence.LOW
    assert low.reasons[0] == "only the roofline rule had something to say"


def test_how_to_settle_is_told_only_while_it_is_open() -> None:
    hint = f"{TO_SETTLE}count something"
    open_one = said("stalls", Outcome.BACKEND, remarks=(hint,))
    assert hint in together(open_one).remarks
    assert hint not in together(open_one, said("roofline", Outcome.MEMORY)).remarks


def test_a_deferred_verdict_is_no_second_opinion() -> None:
    found = together(said("stalls", Outcome.MEMORY), said("top-down", Outcome.MEMORY, deferred=True))
    assert found.confidence is Confidence.MEDIUM


def test_nothing_says_why() -> None:
    assert together().outcome is Outcome.NOT_MEASURED
    blurred = Verdict("stalls", Outcome.RESOLUTION, "insufficient resolution: 2 intervals")
    assert together(blurred).outcome is Outcome.RESOLUTION
    wrong = Verdict("roofline", Outcome.CANNOT_TELL, "cannot tell: above the peak")
    assert "above the peak" in together(wrong).text
