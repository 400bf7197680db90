"""Names of events and the numbers that the kernel knows them by."""

from __future__ import annotations

import pytest

from q4engine.errors import Q4Error
from q4engine.profiling.events import ARM_PRESETS, OTHER_PRESETS, parse_events


def test_all_spellings_of_an_event_are_one() -> None:
    (event,) = parse_events("STALL_BACKEND,stalled-cycles-backend,r24,r0024:u,raw-stall-backend", "aarch64")
    assert (event.name, event.config, event.type) == ("STALL_BACKEND", 0x24, None)


def test_raw_codes_and_names_of_a_pmu() -> None:
    events = parse_events("r4005, armv8_pmuv3_0/l3d_cache_refill/,armv8_big/event=0xe7,long=1/", "aarch64")
    assert [(e.name, e.pmu, e.config) for e in events] == [
        ("STALL_BACKEND_MEM", "", 0x4005),
        ("L3D_CACHE_REFILL", "armv8_pmuv3_0", 0x2A),
        ("re7", "armv8_big", 0xE7),
    ]


def test_generic_events_elsewhere() -> None:
    events = parse_events("cycles,instructions,cache-misses,L1-dcache-load-misses,r01c2,task-clock", "x86_64")
    assert [(e.type, e.config) for e in events] == [(0, 0), (0, 1), (0, 3), (3, 0x10000), (4, 0x1C2), (1, 1)]


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_every_preset_is_known(arch: str) -> None:
    for preset, members in (ARM_PRESETS if arch == "aarch64" else OTHER_PRESETS).items():
        assert len(parse_events(preset, arch)) == len(members)


def test_presets_fit_six_counters_and_that_of_cycles() -> None:
    for members in ARM_PRESETS.values():
        assert members[0] == "CPU_CYCLES" and len(members) <= 7


@pytest.mark.parametrize("text", ["", " ", ",", "nonsense", "cycles,CPU_CYCELS", "cycles:k", "r123456789abcdef01"])
def test_mistakes_are_one_line(text: str) -> None:
    for arch in ("aarch64", "x86_64"):
        with pytest.raises(Q4Error) as raised:
            parse_events(text, arch)
        assert "\n" not in str(raised.value)
