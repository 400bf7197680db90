"""Events, groups and refusals, on PMUs that are made up; software events on the real kernel."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import bits
import pytest
from capture_runs import read_capture

from q4engine import _native, pmu
from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.events import ARM_PRESETS, OTHER_PRESETS, parse_events
from q4engine.observer import Observation, observe
from q4engine.pmu import AVAILABLE, Counters, Numbers, Pmu, core_pmus, plan_counters, refusal_text, slots_of

CPU_CYCLES, SOFTWARE = 0x11, 1
ARM_NAMES = frozenset(name.lower() for names in ARM_PRESETS.values() for name in names)
BIG = Pmu("armv8_big", 8, (4, 5), 5, ARM_NAMES)
LITTLE = Pmu("armv8_little", 9, (0, 1), None, ARM_NAMES - {"stall_backend_mem"})


def slots(n: int, absent: tuple[int, ...] = ()) -> Callable[[Numbers], tuple[int, int]]:
    """A kernel with n programmable counters a PMU, and one for cycles. Groups of two PMUs are refused."""

    def attempt(group: Numbers) -> tuple[int, int]:
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


class TestParseEvents:
    def test_all_spellings_of_an_event_are_one(self) -> None:
        (event,) = parse_events("STALL_BACKEND,stalled-cycles-backend,r24,r0024:u,raw-stall-backend", "aarch64")
        assert (event.name, event.config, event.type) == ("STALL_BACKEND", 0x24, None)

    def test_raw_codes_and_names_of_a_pmu(self) -> None:
        events = parse_events("r4005, armv8_pmuv3_0/l3d_cache_refill/,armv8_big/event=0xe7,long=1/", "aarch64")
        assert [(e.name, e.pmu, e.config) for e in events] == [
            ("STALL_BACKEND_MEM", "", 0x4005),
            ("L3D_CACHE_REFILL", "armv8_pmuv3_0", 0x2A),
            ("re7", "armv8_big", 0xE7),
        ]

    def test_generic_events_elsewhere(self) -> None:
        events = parse_events("cycles,instructions,cache-misses,L1-dcache-load-misses,r01c2,task-clock", "x86_64")
        assert [(e.type, e.config) for e in events] == [(0, 0), (0, 1), (0, 3), (3, 0x10000), (4, 0x1C2), (1, 1)]

    @pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
    def test_every_preset_is_known(self, arch: str) -> None:
        for preset, members in (ARM_PRESETS if arch == "aarch64" else OTHER_PRESETS).items():
            assert len(parse_events(preset, arch)) == len(members)

    def test_presets_fit_six_counters_and_that_of_cycles(self) -> None:
        for members in ARM_PRESETS.values():
            assert members[0] == "CPU_CYCLES" and len(members) <= 7

    @pytest.mark.parametrize("text", ["", " ", ",", "nonsense", "cycles,CPU_CYCELS", "cycles:k", "r123456789abcdef01"])
    def test_mistakes_are_one_line(self, text: str) -> None:
        for arch in ("aarch64", "x86_64"):
            with pytest.raises(Q4Error) as raised:
                parse_events(text, arch)
            assert "\n" not in str(raised.value)


class TestGroups:
    def test_what_fits_is_one_group(self) -> None:
        counters = plan_counters("stalls", slots(6), [BIG], "aarch64", [4])
        assert names(counters) == [list(ARM_PRESETS["stalls"])]
        assert counters.rotation == [(0,)] and counters.state == AVAILABLE and not counters.missing
        assert counters.groups[0].counts_migrations and counters.groups[0].numbers[-1] == (1, 4, False)
        assert {kind for kind, _, _ in counters.groups[0].numbers[:-1]} == {BIG.type}
        assert all(user_only for _, _, user_only in counters.groups[0].numbers[:-1])

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
        monkeypatch.setattr(pmu, "PARANOID", tmp_path / "paranoid")
        (tmp_path / "paranoid").write_text("3\n")
        assert "perf_event_paranoid is 3; sudo sysctl kernel.perf_event_paranoid=2" in refusal_text(errno.EACCES)
        (tmp_path / "paranoid").write_text("1\n")
        assert "--cap-add PERFMON" in refusal_text(errno.EPERM)
        assert "emulator" in refusal_text(errno.ENOSYS)

    def test_without_a_pmu(self) -> None:
        counters = plan_counters("default", lambda group: (errno.ENOENT, 0), [], "x86_64")
        assert counters.state == pmu.NO_HARDWARE and counters.groups == []

    def test_kernel_events_are_not_counted_as_zero_in_user_space(self) -> None:
        def user_only(group: Numbers) -> tuple[int, int]:
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


class TestSysfs:
    def test_cores_that_differ(self, tmp_path: Path) -> None:
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

    def test_an_event_that_is_not_listed_is_not_counted_as_zero(self) -> None:
        core = Pmu("a76", 8, (), None, frozenset({"cpu_cycles", "stall_backend", "ll_cache_rd"}))
        mem, l3, own = parse_events("STALL_BACKEND_MEM,L3D_CACHE_REFILL,re7", "aarch64")
        assert core.lacks(mem) and core.lacks(l3)
        assert not core.lacks(own)  # of the implementation's own: nobody lists them
        for text in ("r4005", "armv8_x/event=0x4005/"):
            (asked,) = parse_events(text, "aarch64")
            assert not core.lacks(asked)
        assert not Pmu("silent", 8, ()).lacks(mem)

    def test_this_machine_has_a_readable_answer(self) -> None:
        for found in core_pmus():
            assert found.name and found.type > 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bits.write_model("llama", tmp_path_factory.mktemp("model"))


def software_counters(text: str) -> Counters:
    counters = plan_counters(text, _native.pmu_try)
    if counters.state != AVAILABLE:
        pytest.skip(f"the kernel counts nothing here: {counters.state}")
    return counters


class TestNative:
    def test_bad_groups_are_errors(self, model: Path) -> None:
        session = Engine.load(model, n_threads=1).session(n_ctx=64).recorder
        assert session is not None
        for groups in (None, [[]], [[(1, 1, True)] * 17], [[(1, 1, True)]] * 33, [[("a", 1, True)]], [(1, 1, True)]):
            with pytest.raises((ValueError, TypeError)):
                session.record(1, groups)
        for level in (-1, 4):
            with pytest.raises(ValueError, match="0 to 3"):
                session.record(level, [])
        with pytest.raises(ValueError, match="not recorded"):
            session.select(1)
        with pytest.raises(ValueError, match="not recorded"):
            session.recorded()

    def test_a_refused_event_leaves_nothing_recorded(self, model: Path) -> None:
        session = Engine.load(model, n_threads=2).session(n_ctx=64).recorder
        assert session is not None
        with pytest.raises(OSError):
            session.record(1, [[(0xFFFF, 1, True)]])
        assert _native.pmu_try([(SOFTWARE, 1, True), (0xFFFF, 1, True)])[1] in (0, 1)
        with pytest.raises(ValueError, match="not recorded"):
            session.recorded()

    def test_a_session_before_its_first_call_has_no_records(self, model: Path) -> None:
        session = Engine.load(model, n_threads=1).session(n_ctx=64).recorder
        assert session is not None
        session.record(2, [])
        assert session.recorded() == []

    def test_counters_see_the_engines_threads_alone(self, model: Path) -> None:
        """task-clock of the calls; the same while another thread of this process is busy all the time."""
        software_counters("task-clock")
        path = model.parent / "threads.csv"
        stop = threading.Event()

        def busy() -> None:
            while not stop.is_set():
                sum(range(1000))

        other = threading.Thread(target=busy)
        session = Engine.load(model, n_threads=1).session(n_ctx=64)
        other.start()
        try:
            with observe(session, Observation(capture=path, events="task-clock")):
                for _ in range(20):
                    session.decode([1])
        finally:
            stop.set()
            other.join()
        _, rows = read_capture(path)
        for row in rows:
            assert 0 < int(row["task-clock@sw"]) <= int(row["duration_ns"])

    def test_a_call_from_another_thread_has_no_counts(self, model: Path) -> None:
        software_counters("task-clock")
        path = model.parent / "other.csv"
        session = Engine.load(model, n_threads=1).session(n_ctx=64)
        with observe(session, Observation(capture=path, events="task-clock")):
            session.decode([1])
            caller = threading.Thread(target=lambda: session.decode([1]))
            caller.start()
            caller.join()
        _, rows = read_capture(path)
        assert [bool(row["task-clock@sw"]) for row in rows] == [True, False]

    def test_page_faults_are_those_of_the_call(self, model: Path) -> None:
        counters = software_counters("page-faults")
        session = Engine.load(model, n_threads=1).session(n_ctx=64)
        recorder = session.recorder
        assert recorder is not None
        recorder.record(1, counters.numbers)
        recorder.select(1)
        session.decode([1])
        bytearray(64 << 20)  # page faults between two calls are nobody's
        session.decode([1])
        *_, counts = recorder.recorded()[-1]
        first, last = memoryview(counts).cast("q")[3], memoryview(counts).cast("q")[3 + counters.groups[0].words]
        assert 0 <= last - first < 1000

    def test_the_cost_of_a_look_is_measured(self, model: Path) -> None:
        counters = software_counters("task-clock")
        recorder = Engine.load(model, n_threads=1).session(n_ctx=64).recorder
        assert recorder is not None
        recorder.record(3, counters.numbers)
        recorder.select(1)
        mark_ns, reading_ns = recorder.record_cost()
        assert mark_ns > 0 and reading_ns > mark_ns


def test_slots_as_captures_say_them() -> None:
    big, little = Pmu("armv8_big", 8, (4,), 6), Pmu("armv8_little", 9, (0,), 2)
    assert slots_of([]) is None
    assert slots_of([Pmu("cpu", 4, ())]) is None
    assert slots_of([big]) == "6"
    assert slots_of([big, Pmu("armv8_other", 10, (5,), 6)]) == "6"
    assert slots_of([big, little]) == "armv8_big=6,armv8_little=2"
    assert slots_of([big, Pmu("armv8_silent", 9, (0,))]) == "armv8_big=6"
