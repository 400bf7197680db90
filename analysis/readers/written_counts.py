"""Names of events and counts as people write them, where no tool tells which is which."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from analysis.events import canonical, is_known_event, is_software
from analysis.readers.locale_numbers import plain
from analysis.readers.perf_rows import KEPT, Malformed, count

_NAME = re.compile(r"[A-Za-z][\w./:, -]{0,80}")
_ROUNDED = re.compile(r"(\d{1,15}(?:[.,]\d{1,9})?)\s?([kKMGBT])|(\d{1,15}(?:\.\d{1,18})?[eE]\+?\d{1,2})")
_UNDERSCORES = re.compile(r"\d{1,3}(?:_\d{3}){1,6}")
_SCALES = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
FEWEST = 2
_RAW = re.compile(r"r[0-9a-f]{1,16}")
_PHRASES = re.compile(r"^((?:front|back)end)[ _-]stalled[ _-]cycles$")
_WORD = re.compile(r"r[a-f]+")
"""A raw code that may be a word: `red`."""


@lru_cache(KEPT)
def event_of(text: str) -> str:
    """The event that a cell names, '' where it names none that we know: `CPU cycles` is cpu-cycles."""
    name = text.strip(" \t*`\"'").partition(" (")[0]
    if not _NAME.fullmatch(name):
        return ""
    lower = name.lower()
    lower = _PHRASES.sub(r"stalled-cycles-\1", lower)
    spelled = (name, lower, lower.replace(" ", "-"), lower.replace(" ", "_"))
    return next((one for one in spelled if " " not in one and is_known_event(one)), "")


def counter_of(text: str) -> str:
    """The same of the processor's own events alone, by names that no word of prose has."""
    event = event_of(text)
    return "" if not event or _WORD.fullmatch(event) or is_software(canonical(event).name) else event


def are_counters(events: Collection[str]) -> bool:
    """Whether they are two or more counters, one of them by a name: `r0` and `r1` alone may be anything."""
    return len(events) >= FEWEST and not all(map(_RAW.fullmatch, events))


def count_of(text: str) -> float:
    """A whole number with thousands, or a rounded one; a share in brackets may stand behind. Raises Malformed."""
    text = text.partition(" (")[0]
    if rounded := _ROUNDED.fullmatch(text):
        if rounded[3]:
            return count(rounded[3])
        return float(rounded[1].replace(",", ".")) * _SCALES[rounded[2]]
    return count(text.replace("_", "") if _UNDERSCORES.fullmatch(text) else plain(text, may_have_decimals=False))


def is_count(text: str) -> bool:
    """Whether a cell is a count."""
    try:
        return text[:1].isdigit() and count_of(text) >= 0
    except Malformed:
        return False
