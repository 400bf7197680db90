"""Every number that C and Python share is the same on both sides."""

from __future__ import annotations

from q4engine import _native
from q4engine.engine import PHASES
from q4engine.profiling.counters import HEAD_WORDS, MOST_EVENTS, MOST_GROUPS
from q4engine.profiling.recording import Facts, Level


def in_order(names: tuple[str, ...]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


PYTHON = {
    "phases": in_order(("none", *PHASES)),
    "levels": {level.name.lower(): level.value for level in Level},
    "thread_facts": in_order(Facts._fields),
    "counters": {"head_words": HEAD_WORDS, "most_groups": MOST_GROUPS, "most_events": MOST_EVENTS},
}


def test_every_family_is_the_same_on_both_sides() -> None:
    assert _native.constants() == PYTHON
