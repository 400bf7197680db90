"""Groups of events and refusals, on PMUs that are made up."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from q4engine.errors import Q4Error
from q4engine.profiling import plan
from q4engine.profiling.counters import AVAILABLE, Counters
from q4engine.profiling.events import ARM_PRESETS, NativeGroup
from q4engine.profiling.plan import plan_counters, refusal_text
from q4engine.profiling.pmus import Pmu

CPU_CYCLES, SOFTWARE = 0x11, 1
ARM_NAMES = frozenset(name.lower() for names in ARM_PRESETS.values() for name in names)
BIG = Pmu("armv8_big", 8, (4, 5), 5, ARM_NAMES)
LITTLE = Pmu("armv8_little", 9, (0, 1), None, ARM_NAMES - {"stall_backend_mem"})


def slots(n: int, absent: tuple[int, ...] = ()) -> Callable[[NativeGroup], tuple[int, int]]:
    """A kernel with n programmable counters a PMU, and one for cycles. Groups of two PMUs are refused."""

    def attempt(group: NativeGroup) -> tuple[int, int]:
        hardware = [event for event in group if event[0] != SOFTWARE]
        if len({kind for kind, _, _ in hardware}) > 1:
            return errno.EINVAL, len(group) - 1
        for index, (_, config, _) in enumerate(group):
            if config in absent:
                return errno.ENOENT, index
        return (errno.EINVAL if sum(config != CPU_CYCLES for _, config, _ in hardware) > n else 0), len(group) - 1

    return attempt


def names(counters: Counters) -> list[list[str]]:
    return [list(group.names) for group in counters.groups]


class TestGroups:
    def test_what_fits_is_one_group(self) -> None:
        counters = plan_counters("stalls", slots(6), [BIG], "aarch64", [4])
        assert names(counters) == [list(ARM_PRESETS["stalls"])]
        assert counters.rotation == [(0,)] and counters.state == AVAILABLE and not counters.missing
        assert counters.groups[0].counts_migrations and counters.groups[0].events[-1] == (1, 4, False)
        assert {kind for kind, _, _ in counters.groups[0].events[:-1]} == {BIG.type}
        assert all(user_only for _, _, user_only in counters.groups[0].events[:-1])

    def test_what_does_not_fit_takes_turns_with_cycles_in_each(self) -> None:
        counters = plan_counters("stalls", slots(2), [BIG], "aarch64", [4])
        assert names(counters) == [
            ["CPU_CYCLES", "INST_RETIRED", "STALL_FRONTEND"],
            ["CPU_CYCLES", "STALL_BACKEND", "STALL_BACKEND_MEM"],
            ["CPU_CYCLES", "STALL_SLOT_FRONTEND", "STALL_SLOT_BACKEND"],
        ]
        assert [counters.turn(n) for n in range(4)] == [(0,), (1,), (2,), (0,)]
        assert all(group.counts_migrations for group in counters.groups)

    def test_software_events_count_in_every_turn(self) -> None:
        counters = plan_counters("task-clock,INST_SPEC,LD_SPEC", slots(1), [BIG], "aarch64", [4])
        assert names(counters) == [["task-clock"], ["INST_SPEC"], ["LD_SPEC"]]
        assert counters.rotation == [(0, 1), (0, 2)]
        assert [group.counts_migrations for group in counters.groups] == [True, False, False]

    def test_each_kind_of_core_has_its_own_group_at_the_same_time(self) -> None:
        counters = plan_counters("CPU_CYCLES,STALL_BACKEND_MEM", slots(6), [BIG, LITTLE], "aarch64", [0, 4])
        assert [(group.pmu, list(group.names)) for group in counters.groups] == [
            ("armv8_big", ["CPU_CYCLES", "STALL_BACKEND_MEM"]),
            ("armv8_little", ["CPU_CYCLES"]),
        ]
        assert counters.rotation == [(0, 1)]
        assert counters.missing == [("STALL_BACKEND_MEM", "not listed for armv8_little; r4005 counts it all the same")]

    def test_cores_that_the_engine_does_not_run_on_are_left_alone(self) -> None:
        counters = plan_counters("CPU_CYCLES", slots(6), [BIG, LITTLE], "aarch64", [4, 5])
        assert [group.pmu for group in counters.groups] == ["armv8_big"]

    def test_missing_events_are_left_out_and_named(self) -> None:
        counters = plan_counters("cycles,cache-misses", slots(4, absent=(3,)), [Pmu("cpu", 4, ())], "x86_64")
        assert names(counters) == [["CPU_CYCLES"]]
        assert counters.missing == [("cache-misses", "no such file or directory")]

    def test_a_pmu_that_is_not_there(self) -> None:
        with pytest.raises(Q4Error, match="no PMU 'armv8_huge' on this machine, only armv8_big"):
            plan_counters("armv8_huge/cpu_cycles/", slots(4), [BIG], "aarch64", [4])

    def test_more_groups_than_can_take_turns(self) -> None:
        text = ",".join(f"r{code:x}" for code in range(0xC0, 0xC0 + 40))
        with pytest.raises(Q4Error, match="they make 40 groups"):
            plan_counters(text, slots(1), [BIG], "aarch64", [4])
        assert len(plan_counters(text, slots(6), [BIG], "aarch64", [4]).groups) == 7

    def test_none_counts_nothing(self) -> None:
        assert plan_counters("none", slots(4), [BIG], "aarch64").groups == []


class TestRefusals:
    @pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM, errno.ENOSYS])
    def test_a_refusal_is_one_line_and_no_groups(self, error: int) -> None:
        counters = plan_counters("default", lambda group: (error, 0), [BIG], "aarch64", [4])
        assert counters.groups == [] and counters.state == refusal_text(error) and "\n" not in counters.state

    def test_the_line_names_the_setting(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plan, "PARANOID", tmp_path / "paranoid")
        (tmp_path / "paranoid").write_text("3\n")
        assert "perf_event_paranoid is 3; sudo sysctl kernel.perf_event_paranoid=2" in refusal_text(errno.EACCES)
        (tmp_path / "paranoid").write_text("1\n")
        assert "--cap-add PERFMON" in refusal_text(errno.EPERM)
        assert "emulator" in refusal_text(errno.ENOSYS)

    def test_without_a_pmu(self) -> None:
        counters = plan_counters("default", lambda group: (errno.ENOENT, 0), [], "x86_64")
        assert counters.state == plan.NO_HARDWARE and counters.groups == []

    def test_kernel_events_are_not_counted_as_zero_in_user_space(self) -> None:
        def user_only(group: NativeGroup) -> tuple[int, int]:
            return (0 if all(only for _, _, only in group) else errno.EACCES), 0

        counters = plan_counters("task-clock,context-switches,page-faults", user_only, [], "x86_64")
        assert names(counters) == [["task-clock", "page-faults"]] and counters.state == AVAILABLE
        assert not counters.groups[0].counts_migrations
        ((name, why),) = counters.missing
        assert name == "context-switches" and "kernel.perf_event_paranoid=1" in why
        alone = plan_counters("context-switches", user_only, [], "x86_64")
        assert alone.state == f"none of the events can be had: context-switches ({why})" and alone.groups == []
        for refused in (errno.EACCES, errno.ENOSYS):
            counters = plan_counters("context-switches", lambda group, error=refused: (error, 0), [], "x86_64")
            assert counters.state == refusal_text(refused)

    def test_arm_events_on_another_machine_are_missing(self) -> None:
        text = "CPU_CYCLES,STALL_BACKEND,armv8_pmuv3_0/l3d_cache_refill/"
        counters = plan_counters(text, slots(6), [Pmu("cpu", 4, ())], "x86_64")
        assert names(counters) == [["CPU_CYCLES"]]
        assert counters.missing == [(name, "an event of Arm cores") for name in ("STALL_BACKEND", "L3D_CACHE_REFILL")]
        alone = plan_counters("STALL_BACKEND_MEM", slots(6), [], "x86_64")
        assert alone.state == "none of the events can be had: STALL_BACKEND_MEM (an event of Arm cores)"
