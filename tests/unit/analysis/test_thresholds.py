"""The numbers that verdicts depend on (`verdicts.thresholds`)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from analysis.verdicts.thresholds import THRESHOLDS, Thresholds


def test_thresholds_are_in_order() -> None:
    assert Thresholds() == THRESHOLDS
    assert THRESHOLDS.core_of_backend < THRESHOLDS.memory_of_backend
    assert THRESHOLDS.roof_compute < THRESHOLDS.roof_memory < 1 < THRESHOLDS.roof_possible
    assert THRESHOLDS.waiting_matters < THRESHOLDS.waiting_leads <= THRESHOLDS.waiting_off_cpu
    assert THRESHOLDS.bins_per_token < THRESHOLDS.bins_per_phase
    assert THRESHOLDS.running_together < THRESHOLDS.running_apart < THRESHOLDS.running_good < 1
    assert THRESHOLDS.frequency_kept < THRESHOLDS.frequency_steady < 1


def test_what_is_no_count_or_size_is_a_share() -> None:
    others = {
        "few_l2_mpki", "roof_possible", "model_exceeds_caches", "windows_apart", "switches_per_call", "bins_per_phase",
        "bins_per_token", "steps_for_interval",
    }  # fmt: skip
    named = {one.name for one in fields(Thresholds)}
    assert others < named
    assert all(0 < getattr(THRESHOLDS, name) < 1 for name in named - others)


def test_nobody_changes_them_while_verdicts_are_made() -> None:
    with pytest.raises(FrozenInstanceError):
        THRESHOLDS.backend = 0.5  # type: ignore[misc]
