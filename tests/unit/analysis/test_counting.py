"""What to count next (`verdicts.counting`): commands that fit the core."""

from __future__ import annotations

import re

import pytest

from analysis import cores
from analysis.verdicts.counting import how_to_count, how_to_settle, perf_stat


@pytest.mark.parametrize("name", cores.names())
def test_commands_count_only_what_the_core_has(name: str) -> None:
    core = cores.load(name)
    for text in (how_to_count(core), how_to_settle(core)):
        codes = {
            int(code, 16) for group in re.findall(r"\{([^}]*)\}", text) for code in re.findall(r"r([0-9a-f]+)", group)
        }
        assert codes <= set(core.events.values())
        assert core.is_arm or "--topdown" in text


def test_cores_without_memory_stalls_go_by_refills() -> None:
    assert "r2a" in how_to_settle(cores.load("cortex-a76")) and "--read-peak" in how_to_settle(cores.load("cortex-a76"))
    assert "re7,re8" in how_to_settle(cores.load("cortex-a55"))
    assert "r4005" in how_to_settle(cores.load("neoverse-v2"))
    assert "counts no stalls" in how_to_count(cores.load("cortex-a53"))


def test_one_group_in_raw_numbers_without_what_the_core_lacks() -> None:
    core = cores.load("cortex-a76")
    events = ("CPU_CYCLES", "STALL_BACKEND_MEM", "STALL_BACKEND")
    assert perf_stat(core, events) == "perf stat -e '{r11,r24}' -- PROGRAM"


def test_a_core_that_nobody_named_is_to_be_named() -> None:
    assert "name the core with --core" in how_to_settle(cores.load("generic"))
    assert "--core" not in how_to_settle(cores.load("neoverse-v2"))


def test_other_architectures_have_commands_of_their_own() -> None:
    core = cores.load("x86")
    assert how_to_count(core).startswith("perf stat --topdown -- PROGRAM")
    assert how_to_settle(core).startswith("perf stat --topdown --td-level 2 -- PROGRAM")


@pytest.mark.parametrize("name", cores.names())
def test_what_the_capture_has_is_not_asked_for(name: str) -> None:
    core = cores.load(name)
    have = frozenset(core.events) - {"CPU_CYCLES"}
    for text in (how_to_count(core, have), how_to_settle(core, have)):
        assert "{" not in text
    if core.has("STALL_BACKEND"):
        assert how_to_count(core, have).startswith("count fewer events")


def test_cycles_stand_beside_what_is_missing() -> None:
    core = cores.load("neoverse-v2")
    assert how_to_count(core, frozenset({"CPU_CYCLES", "STALL_BACKEND"})) == (
        "perf stat -e '{cycles,r23,r4005}' -- PROGRAM"
    )


def test_refills_that_were_counted_need_a_peak() -> None:
    text = how_to_settle(cores.load("neoverse-n1"), frozenset({"CPU_CYCLES", "L3D_CACHE_REFILL"}))
    assert "--read-peak" in text and "perf stat" not in text
