"""One name for every spelling of an event."""

from __future__ import annotations

import ast
import csv
from pathlib import Path

import pytest

from analysis import events
from analysis.events import CanonicalEvent, arm_events, canonical, event_code, is_x86, only_arms, streamline_event


@pytest.mark.parametrize(
    ("spelling", "name", "pmu", "modifier"),
    [
        ("cycles", "CPU_CYCLES", "", ""),
        ("cycles:u", "CPU_CYCLES", "", "u"),
        ("instructions:ppp", "INST_RETIRED", "", "ppp"),
        ("stalled-cycles-backend:k", "STALL_BACKEND", "", "k"),
        ("cache-misses", "L1D_CACHE_REFILL", "", ""),
        ("LLC-load-misses", "LL_CACHE_MISS_RD", "", ""),
        ("armv8_pmuv3_0/l3d_cache_refill/", "L3D_CACHE_REFILL", "armv8_pmuv3_0", ""),
        ("armv8_pmuv3_0/l3d_cache_refill/u", "L3D_CACHE_REFILL", "armv8_pmuv3_0", "u"),
        ("armv8_cortex_a76/cycles/", "CPU_CYCLES", "armv8_cortex_a76", ""),
        ("armv8_pmuv3_0/event=0x4005/", "STALL_BACKEND_MEM", "armv8_pmuv3_0", ""),
        ("armv8_pmuv3_0/event=0x4005,config1=1/", "STALL_BACKEND_MEM", "armv8_pmuv3_0", ""),
        ("armv8_pmuv3_0/event=017/", "CPU_CYCLES", "armv8_pmuv3_0", ""),
        ("armv8_pmuv3_0/event=0x24,name=mine/", "STALL_BACKEND", "armv8_pmuv3_0", ""),
        ("armv8_pmuv3_0/event=0x24,threshold=2/", "event=0x24,threshold=2", "armv8_pmuv3_0", ""),
        ("armv8_cortex_a55/imp_ld_stall/", "IMP_LD_STALL", "armv8_cortex_a55", ""),
        ("r4005", "STALL_BACKEND_MEM", "", ""),
        ("r0024:u", "STALL_BACKEND", "", "u"),
        ("rE7", "re7", "", ""),
        ("stall_backend_mem", "STALL_BACKEND_MEM", "", ""),
        ("STALL_BACKEND_MEM", "STALL_BACKEND_MEM", "", ""),
        ("raw-stall-backend-mem", "STALL_BACKEND_MEM", "", ""),
        ("raw-l3d-cache-refill:u", "L3D_CACHE_REFILL", "", "u"),
        ("cpu-cycles", "CPU_CYCLES", "", ""),
        ("arm_cmn_0/hnf_cache_miss/", "hnf_cache_miss", "arm_cmn_0", ""),
        ("cpu_core/cycles/", "CPU_CYCLES", "cpu_core", ""),
        ("cpu_core/cache-misses/", "cache-misses", "cpu_core", ""),
        ("task-clock:u", "task-clock", "", "u"),
        ("faults", "page-faults", "", ""),
        ("syscalls:sys_enter_read", "syscalls:sys_enter_read", "", ""),
    ],
)
def test_canonical(spelling: str, name: str, pmu: str, modifier: str) -> None:
    assert canonical(spelling) == CanonicalEvent(name, pmu, modifier)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("cycles", "CPU_CYCLES"), ("cache-misses", "cache-misses"), ("r24", "r24"), ("LLC-loads", "LLC-loads")],
)
def test_generic_names_elsewhere(spelling: str, name: str) -> None:
    assert canonical(spelling, "x86_64").name == name


EVENTS_OF_X86 = """
de_dis_dispatch_token_stalls1.int_phy_reg_file_rsrc_stall ic_fw32 bp_l2_btb_correct fp_ret_sse_avx_ops.all
l2_request_g1.all_no_prefetch ls_not_halted_cyc uops_issued.any cpu_clk_unhalted.thread br_inst_retired.all_branches
"""


@pytest.mark.parametrize("event", EVENTS_OF_X86.split())
def test_events_of_x86(event: str) -> None:
    assert is_x86(event)


def test_no_event_of_arms_is_x86s() -> None:
    others = (
        "r24",
        "cycles",
        "cache-misses",
        "inst_retired",
        "l3d_cache",
        "de",
        "ls",
        "LLC-loads",
        "syscalls:sys_exit",
    )
    assert [name for name in (*arm_events(), *map(str.lower, arm_events()), *others) if is_x86(name)] == []
    assert not only_arms() & {"CPU_CYCLES", "INST_RETIRED", "STALL_BACKEND", "STALL_FRONTEND"}
    assert "L1D_CACHE_REFILL" in only_arms()


def test_canonical_names_stay() -> None:
    for name in arm_events():
        assert canonical(name).name == name
        assert canonical(f"armv8_pmuv3_0/{name.lower()}/").name == name


def test_codes_of_the_event_matrix(shared_data: Path) -> None:
    with (shared_data / "pmu/event_matrix.csv").open(encoding="utf-8") as file:
        codes = {row["event"]: row["code"] for row in csv.DictReader(file) if row["code"]}
    assert len(codes) == 35
    for name, code in codes.items():
        assert event_code(name) == int(code, 16), name


def test_codes_name_one_event_each() -> None:
    codes = list(arm_events().values())
    assert len(codes) == len(set(codes))
    assert event_code("r8123") == 0x8123
    assert event_code("task-clock") is None


CORES = ("Cortex-A55", "Cortex-A7", "Cortex-A51", "Cortex-A52", "Cortex-X", "Neoverse", "C1-")


def test_series_of_every_core_are_known(shared_data: Path) -> None:
    with (shared_data / "pmu/streamline_event_names.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["core"].startswith(CORES) and r["core"] != "Cortex-A7"]
    assert len(rows) > 500
    for row in rows:
        found = streamline_event(row["streamline_title"], row["streamline_name"])
        assert found == row["arm_event"], row


def test_series_of_before_gator_6_9() -> None:
    assert streamline_event("Clock", "Cycles") == "CPU_CYCLES"
    assert streamline_event("Stall", "Backend Stall") == "STALL_BACKEND"
    assert streamline_event("Cache", "L1 data read") is None  # two events had this name


def test_needs_nothing_but_the_standard_library() -> None:
    """The engine imports this module."""
    tree = ast.parse(Path(str(events.__file__)).read_text(encoding="utf-8"))
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "csv", "re", "functools", "importlib", "typing"}
