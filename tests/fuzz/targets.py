"""What is fuzzed."""

from __future__ import annotations

from collections.abc import Callable

from fuzz.calls import Calls
from fuzz.captures import Captures
from fuzz.gguf_files import GgufFiles
from fuzz.harness import Target
from fuzz.model_files import ModelFiles
from fuzz.plans import Plans
from fuzz.readers import READERS
from fuzz.templates import Templates
from fuzz.texts import Texts

TARGETS: dict[str, Callable[[], Target]] = {
    "gguf": GgufFiles,
    "models": ModelFiles,
    "texts": Texts,
    "captures": Captures,
    "templates": Templates,
    "calls": Calls,
    "plans": Plans,
    **READERS,
}
