"""PMUs as sysfs shows them, and their slots as captures say them."""

from __future__ import annotations

from pathlib import Path

from q4engine.profiling.events import parse_events
from q4engine.profiling.pmus import Pmu, core_pmus, slots_of


def test_cores_that_differ(tmp_path: Path) -> None:
    for name, number, cpus, slots_text in (("armv8_a", "8", "0-3,6", "0x00000005"), ("armv8_b", "9", "4-5", "")):
        (tmp_path / name / "events").mkdir(parents=True)
        (tmp_path / name / "type").write_text(f"{number}\n")
        (tmp_path / name / "cpus").write_text(f"{cpus}\n")
        (tmp_path / name / "events" / "cpu_cycles").write_text("event=0x0011\n")
        if slots_text:
            (tmp_path / name / "caps").mkdir()
            (tmp_path / name / "caps" / "slots").write_text(slots_text)
    (tmp_path / "arm_cmn_0").mkdir()  # an interconnect: no `cpus`
    (tmp_path / "arm_cmn_0" / "type").write_text("12\n")
    events = frozenset({"cpu_cycles"})
    assert core_pmus(tmp_path) == [
        Pmu("armv8_a", 8, (0, 1, 2, 3, 6), 5, events),
        Pmu("armv8_b", 9, (4, 5), None, events),
    ]


def test_an_event_that_is_not_listed_is_not_counted_as_zero() -> None:
    core = Pmu("a76", 8, (), None, frozenset({"cpu_cycles", "stall_backend", "ll_cache_rd"}))
    mem, l3, own = parse_events("STALL_BACKEND_MEM,L3D_CACHE_REFILL,re7", "aarch64")
    assert core.lacks(mem) and core.lacks(l3)
    assert not core.lacks(own)  # of the implementation's own: nobody lists them
    for text in ("r4005", "armv8_x/event=0x4005/"):
        (asked,) = parse_events(text, "aarch64")
        assert not core.lacks(asked)
    assert not Pmu("silent", 8, ()).lacks(mem)


def test_this_machine_has_a_readable_answer() -> None:
    for found in core_pmus():
        assert found.name and found.type > 3


def test_slots_as_captures_say_them() -> None:
    big, little = Pmu("armv8_big", 8, (4,), 6), Pmu("armv8_little", 9, (0,), 2)
    assert slots_of([]) is None
    assert slots_of([Pmu("cpu", 4, ())]) is None
    assert slots_of([big]) == "6"
    assert slots_of([big, Pmu("armv8_other", 10, (5,), 6)]) == "6"
    assert slots_of([big, little]) == "armv8_big=6,armv8_little=2"
    assert slots_of([big, Pmu("armv8_silent", 9, (0,))]) == "armv8_big=6"
