"""Words of `q4engine watch`, run as users run it."""

from __future__ import annotations

import sys

SECONDS = 120  # until a test that hangs is ended
NOTHING = "evaluated nothing through llama.cpp's shared libraries"


def command(*options: object) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "q4engine", "watch", "--events", "none", *map(str, options)]
