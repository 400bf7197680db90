"""What to do next (`advice`): something for every outcome, and for waiting what its cause asks for."""

from __future__ import annotations

import pytest
from judged_phases import phase

from analysis import cores
from analysis.advice import next_step
from analysis.verdicts import Context, Evidence, Outcome, Verdict
from analysis.waits import Waits


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("name", ["generic", "cortex-a76", "x86"])
def test_every_outcome_has_a_next_step(outcome: Outcome, name: str) -> None:
    whole = phase()
    evidence = Evidence(whole, tuple(whole.steps), waits=Waits({"barrier": 0.5}))
    text = next_step(Verdict("combined", outcome, str(outcome)), evidence, Context(cores.load(name)))
    assert len(text) > 20 and not text.endswith(".")


@pytest.mark.parametrize(
    ("waits", "said"),
    [
        (Waits({"barrier": 0.1, "begin": 0.5}), "awake"),
        (Waits({"barrier": 0.5}, behind=3), "pin threads"),
        (Waits({"barrier": 0.5}, switches=2.0), "what else runs"),
        (Waits({"barrier": 0.5}), "fewer threads"),
        (Waits({}, 0.7), "files, locks, input"),
    ],
)
def test_waiting_by_its_cause(waits: Waits, said: str) -> None:
    evidence = Evidence(phase(), (), waits=waits)
    assert said in next_step(Verdict("combined", Outcome.WAITING, ""), evidence, Context())


def test_slots_that_nobody_told() -> None:
    whole = phase(STALL_SLOT_BACKEND=3.5)
    evidence, verdict = Evidence(whole, tuple(whole.steps)), Verdict("combined", Outcome.NOT_MEASURED, "")
    assert "--slots" in next_step(verdict, evidence, Context(cores.load("generic")))
    assert "--slots" not in next_step(verdict, evidence, Context(cores.load("generic"), slots=5))
    assert "--slots" not in next_step(verdict, evidence, Context(cores.load("neoverse-v2")))
