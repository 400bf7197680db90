"""What is fuzzed."""

from __future__ import annotations

from fuzz.captures import Captures
from fuzz.harness import Target
from fuzz.model_files import ModelFiles
from fuzz.plans import Plans
from fuzz.templates import Templates

TARGETS: dict[str, type[Target]] = {
    "models": ModelFiles,
    "captures": Captures,
    "templates": Templates,
    "plans": Plans,
}
