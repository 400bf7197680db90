"""Names and counts as people write them."""

from __future__ import annotations

import pytest

from analysis.readers.perf_rows import Malformed
from analysis.readers.written_counts import count_of, counter_of, event_of, is_count


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("cycles", "cycles"),
        ("`stall_backend`", "stall_backend"),
        ("**STALL_BACKEND_MEM**", "STALL_BACKEND_MEM"),
        ("CPU cycles", "cpu-cycles"),
        ("Stalled cycles backend", "stalled-cycles-backend"),
        ("stall_backend (0x24)", "stall_backend"),
        ("Backend Stalled Cycles", "stalled-cycles-backend"),
        ("r4005", "r4005"),
        ("armv8_pmuv3_0/stall_backend/", "armv8_pmuv3_0/stall_backend/"),
        ("IPC", ""),
        ("1,000", ""),
        ("", ""),
        ("x" * 200, ""),
    ],
)
def test_events(text: str, event: str) -> None:
    assert event_of(text) == event


@pytest.mark.parametrize("word", ["red", "page-faults", "task-clock", "name", "cycle time"])
def test_words_and_the_kernels_own_events_are_no_counters(word: str) -> None:
    assert counter_of(word) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1000", 1e3),
        ("1,000,000", 1e6),
        ("1.000.000", 1e6),
        ("1_000_000", 1e6),
        ("1,000,000 (40.0%)", 1e6),
        ("128.5 G", 128.5e9),
        ("12M", 12e6),
        ("1.5e9", 1.5e9),
        ("3,5 k", 3500.0),
    ],
)
def test_counts(text: str, value: float) -> None:
    assert count_of(text) == value and is_count(text)


@pytest.mark.parametrize("text", ["", "-5", "0.85", "12 %", "1.5 GHz", "1,00", "9" * 40, "1e99"])
def test_what_is_no_count(text: str) -> None:
    assert not is_count(text)
    with pytest.raises(Malformed):
        count_of(text)
