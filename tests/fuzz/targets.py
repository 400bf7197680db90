"""What is fuzzed: targets that make their inputs in Python, and one that the C test program makes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from fuzz import native_plans
from fuzz.calls import Calls
from fuzz.captures import Captures
from fuzz.gguf_files import GgufFiles
from fuzz.grammars import Grammars
from fuzz.harness import CPU_SECONDS, Outcome, Target, run_for
from fuzz.lines import Lines
from fuzz.model_files import ModelFiles
from fuzz.plans import Plans
from fuzz.readers import READERS
from fuzz.side_files import SideFiles
from fuzz.sources import Sources
from fuzz.sweeps import Sweeps
from fuzz.templates import Templates
from fuzz.texts import Texts

TARGETS: dict[str, Callable[[], Target]] = {
    "gguf": GgufFiles,
    "models": ModelFiles,
    "texts": Texts,
    "lines": Lines,
    "captures": Captures,
    "templates": Templates,
    "grammars": Grammars,
    "sources": Sources,
    "side-files": SideFiles,
    "sweeps": Sweeps,
    "calls": Calls,
    "plans": Plans,
    **READERS,
}
NAMES = (*TARGETS, native_plans.NAME)


def run(name: str, first: int, seconds: float, cpu_seconds: float = CPU_SECONDS) -> Outcome:
    """Cases of a target from the seed ``first`` on, for that long or until one fails."""
    if name == native_plans.NAME:
        return native_plans.run(first, seconds)
    return run_for(TARGETS[name], name, itertools.count(first), seconds, cpu_seconds)
