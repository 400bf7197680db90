"""What to do next (`advice`, `verdicts.counting`): something for every outcome, and commands that fit the core."""

from __future__ import annotations

import re

import pytest
from judged_phases import phase

from analysis import cores
from analysis.advice import next_step
from analysis.verdicts import Context, Evidence, Outcome, Verdict
from analysis.verdicts.counting import how_to_count, how_to_settle
from analysis.verdicts.thresholds import THRESHOLDS, Thresholds
from analysis.waits import Waits


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("name", ["generic", "cortex-a76", "x86"])
def test_every_outcome_has_a_next_step(outcome: Outcome, name: str) -> None:
    whole = phase()
    evidence = Evidence(whole, tuple(whole.steps), waits=Waits({"barrier": 0.5}))
    text = next_step(Verdict("combined", outcome, str(outcome)), evidence, Context(cores.load(name)))
    assert len(text) > 20 and not text.endswith(".")


@pytest.mark.parametrize("name", cores.names())
def test_commands_count_only_what_the_core_has(name: str) -> None:
    core = cores.load(name)
    for text in (how_to_count(core), how_to_settle(core)):
        codes = {
            int(code, 16) for group in re.findall(r"\{([^}]*)\}", text) for code in re.findall(r"r([0-9a-f]+)", group)
        }
        assert codes <= set(core.events.values())
        assert core.is_arm or "--topdown" in text


def test_cores_without_memory_stalls_go_by_refills() -> None:
    assert "r2a" in how_to_settle(cores.load("cortex-a76")) and "--read-peak" in how_to_settle(cores.load("cortex-a76"))
    assert "re7,re8" in how_to_settle(cores.load("cortex-a55"))
    assert "r4005" in how_to_settle(cores.load("neoverse-v2"))
    assert "counts no stalls" in how_to_count(cores.load("cortex-a53"))


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


def test_thresholds_are_in_order() -> None:
    assert Thresholds() == THRESHOLDS
    assert THRESHOLDS.core_of_backend < THRESHOLDS.memory_of_backend
    assert THRESHOLDS.roof_compute < THRESHOLDS.roof_memory < 1 < THRESHOLDS.roof_possible
    assert THRESHOLDS.waiting_matters < THRESHOLDS.waiting_leads <= THRESHOLDS.waiting_off_cpu
