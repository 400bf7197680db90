"""Every number that C and Python share is the same on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from q4engine import _native
from q4engine.engine import PHASES, Engine
from q4engine.models.graph import Activation, RopeStyle
from q4engine.profiling.counters import HEAD_WORDS, MOST_EVENTS, MOST_GROUPS
from q4engine.profiling.recording import Facts, Level


def in_order(names: tuple[str, ...]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


PYTHON = {
    "rope_styles": {style.name.lower(): style.value for style in RopeStyle},
    "activations": {activation.name.lower(): activation.value for activation in Activation},
    "phases": in_order(("none", *PHASES)),
    "levels": {level.name.lower(): level.value for level in Level},
    "thread_facts": in_order(Facts._fields),
    "counters": {"head_words": HEAD_WORDS, "most_groups": MOST_GROUPS, "most_events": MOST_EVENTS},
}


def test_every_family_is_the_same_on_both_sides() -> None:
    assert _native.constants() == PYTHON


@pytest.mark.parametrize("number", [-1, len(PHASES) + 1, 1 << 30])
def test_a_number_that_is_no_phase_is_refused(number: int, tiny: Path) -> None:
    engine = Engine.load(tiny, n_threads=1)
    session = _native.Session(engine.native, 8, 8)
    logits = np.empty(engine.config.vocab_size, np.float32)
    tokens = np.ones(1, np.int32)
    with pytest.raises(ValueError, match="no phase of this number"):
        session.decode(tokens, 0, False, logits, number)
    for known in _native.constants()["phases"].values():
        session.decode(tokens, 0, False, logits, known)
