"""What is fuzzed."""

from __future__ import annotations

from collections.abc import Callable

from fuzz.captures import Captures
from fuzz.harness import Target
from fuzz.model_files import ModelFiles
from fuzz.plans import Plans
from fuzz.readers import READERS
from fuzz.templates import Templates

TARGETS: dict[str, Callable[[], Target]] = {
    "models": ModelFiles,
    "captures": Captures,
    "templates": Templates,
    "plans": Plans,
    **READERS,
}
