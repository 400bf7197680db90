"""The forms in which sessions keep keys and values (native/kv_form.c)."""

from __future__ import annotations

from typing import Literal

KVForm = Literal["f16", "q8_0"]

KV_FORMS: dict[KVForm, int] = {"f16": 1, "q8_0": 32}
"""Of how many dimensions of a head each takes whole blocks."""
