"""One name for each ratio that tools print."""

from __future__ import annotations

import pytest

from analysis.metric_names import is_known, metric_name


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Backend Bound", "backend_bound"),
        ("tma_backend_bound", "backend_bound"),
        ("backend_bound", "backend_bound"),
        ("topdown_retiring", "retiring"),
        ("Load Operations Percentage", "load_percentage"),
        ("Advanced SIMD Operations Percentage", "simd_percentage"),
        ("L1 Data TLB MPKI", "l1d_tlb_mpki"),
        ("insn per cycle", "ipc"),
        ("flop-sve-pkc", "flop_sve_pkc"),
        ("tma_memory_bound", "memory_bound"),  # of all slots: not Arm's backend_mem_bound, of back-end stalls
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    assert metric_name(spelling) == name


def test_known_ones() -> None:
    assert is_known("tma_retiring")
    assert is_known("Branch MPKI")
    assert not is_known("CPUs utilized")
