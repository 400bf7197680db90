"""Faults of a run (`explain`): each is named by what tells of it, none where nothing does, and checked by trying it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from q4engine.bench import limits
from q4engine.bench.cases import Case, Work
from q4engine.bench.sustained import Reading, Sample
from q4engine.cli import explain as command
from q4engine.cli import main
from q4engine.cpus import throttled_seconds
from q4engine.explain import checking, measuring, surroundings
from q4engine.explain.causes import bound, causes
from q4engine.explain.granted import Clock, Pages, read_clocks, read_pages
from q4engine.explain.measuring import Measured, Phase, Way
from q4engine.explain.surroundings import Places, Surroundings

QUIET = {"others_percent_of_cpu": 4.0, "run_delay_percent": 0.3, "steal_percent": 0.0}
NOTHING = Path("/nonexistent")


def phase(n_prompt: int, n_gen: int, seconds: float, limit: float = 20.0, n: int = 5) -> Phase:
    """Of synthetic work: 15 GB in a second, 30 10^9 operations."""
    work = Work(round(15e9 * seconds), round(15e9 * seconds))
    unit = "GB/s" if n_gen else "GOP/s"
    return Phase(Case(n_prompt, n_gen), work, [seconds] * n, limit * (1 if n_gen else 2), unit)


def samples(*rates: float, mhz: tuple[float, ...] = ()) -> list[Sample]:
    clocks = mhz or (2000.0,) * len(rates)
    return [
        Sample(i, i + 1, rate, Reading(mhz=clock)) for i, (rate, clock) in enumerate(zip(rates, clocks, strict=True))
    ]


def measured(n_threads: int = 4, cpus: tuple[int, ...] | None = None, **taken: float) -> Measured:
    two = phase(128, 0, 0.5), phase(0, 32, 1.0)
    return Measured(Way(n_threads, cpus), *two, QUIET | taken, None, samples(*[30.0] * 5))


def around(n_cpus: int = 4, quota: float | None = None, slow: int = 0) -> Surroundings:
    """slow: of the CPUs, the first have a quarter of the others' speed."""
    cpus = tuple(range(n_cpus))
    best = min(n_cpus - slow, max(1, round(quota)) if quota else n_cpus)
    speeds = {cpu: 250 if cpu < slow else 1000 for cpu in cpus}
    return Surroundings(cpus, speeds, cpus[slow:], best, quota, "madvise", ["performance"])


def names(one: Measured, where: Surroundings) -> list[str]:
    return [cause.name for cause in causes(one, where)[0]]


def test_no_fault_where_nothing_tells_of_one() -> None:
    found, ruled_out = causes(measured(), around())
    assert found == []
    assert set(ruled_out) == {
        "quota", "threads", "unlike cores", "load", "hypervisor", "throttling", "clock limit", "governor", "huge pages",
    }  # fmt: skip
    assert ruled_out["quota"] == "the control groups have no limit"
    assert names(measured(n_threads=2, cpus=(0, 1)), around()) == []  # who pins knows why


def test_a_quota() -> None:
    stopped = replace(measured(n_threads=4), stopped=0.75)
    (cause,) = causes(stopped, around(quota=1.0))[0]
    assert cause.name == "quota"
    assert cause.evidence == "the control group has 1 CPUs' time for 4 threads; it was stopped 75 % of the time"
    assert cause.change.way == Way(1) and cause.change.gain == pytest.approx(1.0)
    assert names(measured(n_threads=1), around(quota=1.0)) == []
    assert names(measured(n_threads=4), around(quota=4.0)) == []
    (tight,) = causes(replace(measured(n_threads=1), stopped=0.4), around(quota=0.6))[0]
    assert tight.change.way is None and "more time" in tight.change.text


def test_more_threads_than_cpus_are_no_load_of_others() -> None:
    crowd = measured(n_threads=8, run_delay_percent=50.0, others_percent_of_cpu=40.0)
    (cause,) = causes(crowd, around())[0]
    assert cause.name == "threads" and cause.change.way == Way(4)
    assert cause.change.gain == pytest.approx(2.0)


def test_fewer_threads_than_cores() -> None:
    (cause,) = causes(measured(n_threads=1), around())[0]
    assert (cause.name, cause.change.way, cause.change.gain) == ("threads", Way(4), 4.0)


def test_other_programs() -> None:
    busy = measured(others_percent_of_cpu=100.0, run_delay_percent=20.0)
    (cause,) = causes(busy, around())[0]
    assert cause.name == "load" and cause.change.way == Way(3)
    assert cause.change.gain == pytest.approx(1.25)
    assert names(measured(others_percent_of_cpu=100.0), around()) == []  # on a CPU that nobody wanted


def test_the_hypervisor() -> None:
    (cause,) = causes(measured(steal_percent=20.0), around())[0]
    assert cause.name == "hypervisor" and cause.change.gain == pytest.approx(1.25)


def test_a_clock_that_falls() -> None:
    hot = replace(measured(), samples=samples(30, 28, 25, 20, 15, mhz=(2000, 1900, 1700, 1300, 1000)))
    (cause,) = causes(hot, around())[0]
    assert cause.name == "throttling" and "from 2000 to 1000 MHz" in cause.evidence


def phone(folder: Path) -> Places:
    """sysfs of one big core, three middle ones and four little ones."""
    for cpu, capacity in enumerate([250] * 4 + [773] * 3 + [1024]):
        (folder / f"cpu{cpu}").mkdir()
        (folder / f"cpu{cpu}/cpu_capacity").write_text(f"{capacity}\n")
    return Places(folder, NOTHING, NOTHING, range(8))


def test_the_cores_of_a_phone(tmp_path: Path) -> None:
    where = Surroundings.now(phone(tmp_path))
    assert (where.best, where.fast, where.slow, where.quota) == (4, (4, 5, 6, 7), (0, 1, 2, 3), None)
    (cause,) = causes(measured(n_threads=8), where)[0]
    assert cause.name == "unlike cores"
    assert cause.evidence == "4 of 8 CPUs have 24 % of the fastest's speed and hold it up"
    assert cause.change.way == Way(4, (4, 5, 6, 7)) and cause.change.way.options == "-t 4 -C 4,5,6,7"
    assert cause.change.gain == pytest.approx((3 * 773 + 1024) / (8 * 250))
    assert names(measured(n_threads=4), where) == []
    assert names(measured(n_threads=4, cpus=(4, 5, 6, 7)), where) == []
    assert names(measured(n_threads=4, cpus=(2, 3, 4, 5)), where) == ["unlike cores"]


def test_the_phones_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both ways on the phone: the fast cores alone are what the check says that they are."""
    where = Surroundings.now(phone(tmp_path))
    (cause,) = causes(measured(n_threads=8), where)[0]
    for factor, confirmed in ((0.3, True), (1.0, False), (1.5, False)):

        def runs(path: Path, ways: list[Way], plan: object, places: object, times: float = factor) -> list[Measured]:
            before, after = (measured(one.n_threads, one.cpus) for one in ways)
            after.prefill.seconds = [second * times for second in after.prefill.seconds]
            after.decode.seconds = [second * times for second in after.decode.seconds]
            return [before, after]

        monkeypatch.setattr(checking, "in_turns", runs)
        places = Places(tmp_path, NOTHING, NOTHING, range(8))
        found = checking.check(NOTHING, Way(8), cause, measuring.Plan(1, 1, 5), places)
        assert found.confirmed is confirmed and found.gains["decode"] == pytest.approx(1 / factor)


def test_cores_that_are_told_to_differ_are_tried(
    tiny: Path, short_looks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a made-up sysfs of this machine's CPUs, the fast one of which the change is really tried on."""
    available = Surroundings.now(Places()).available
    if len(available) < 2:
        pytest.skip("one CPU has none to differ from")
    for cpu in available:
        (tmp_path / f"cpu{cpu}").mkdir()
        (tmp_path / f"cpu{cpu}/cpu_capacity").write_text("1024\n" if cpu == available[-1] else "250\n")
    monkeypatch.setattr(surroundings, "Places", lambda: Places(tmp_path, NOTHING, NOTHING))
    assert main(["explain", str(tiny), "-t", str(len(available)), *SHORT, "--check", "--json"]) == 0
    (cause,) = [one for one in json.loads(capsys.readouterr().out)["causes"] if one["name"] == "unlike cores"]
    assert cause["way"] == {"n_threads": 1, "cpus": [available[-1]]}
    assert cause["check"]["confirmed"] in (True, False)


def test_cpus_that_are_not_here(tiny: Path) -> None:
    (cause,) = causes(measured(n_threads=1, cpus=(0,)), replace(around(), speeds={0: 250, 1: 1000}, fast=(1,)))[0]
    gone = replace(cause, change=replace(cause.change, way=Way(1, (1023,))))
    found = checking.check(tiny, Way(1), gone, measuring.Plan(2, 2, 2), Places())
    assert found.confirmed is None and found.text == "not tried: CPU 1023 is not available here"
    (tiny.parent / "broken.gguf").write_bytes(b"GGUF")
    broken = checking.check(
        tiny.parent / "broken.gguf",
        Way(2),
        replace(cause, change=replace(cause.change, way=Way(1))),
        measuring.Plan(2, 2, 2),
        Places(),
    )
    assert broken.confirmed is None and broken.text.startswith("not tried: ") and "broken.gguf" in broken.text


SMAPS = """7f0000000000-7f0004000000 rw-p 00000000 00:00 0
Rss:               65536 kB
AnonHugePages:     49152 kB
FilePmdMapped:         0 kB
VmFlags: rd wr mr mw me ac hg sd
7f0008000000-7f000c000000 r--s 00000000 08:01 77 /models/model.gguf
AnonHugePages:         0 kB
FilePmdMapped:      2048 kB
"""


def test_huge_pages(tmp_path: Path) -> None:
    smaps, setting = tmp_path / "smaps", tmp_path / "enabled"
    smaps.write_text(SMAPS)
    setting.write_text("always [madvise] never\n")
    pages = read_pages(64 << 20, smaps, setting)
    assert pages == Pages("madvise", 64 << 20, 50 << 20)
    assert pages.small == pytest.approx(14 / 64)
    assert read_pages(7, NOTHING, NOTHING) == Pages(None, 7, None)
    one = replace(measured(n_threads=1), pages=pages)  # a token takes 1/32 s: 3584 pages of 20 ns are nothing
    assert "huge pages" not in names(one, around())
    assert causes(one, around())[1]["huge pages"] == (
        "52 MB in huge pages, a token reads 67 MB; the rest costs 0.2 % at most"
    )


@pytest.mark.parametrize(("setting", "said"), [("never", "echo madvise"), ("madvise", "compact_memory")])
def test_weights_in_small_pages(setting: str, said: str) -> None:
    """A token of 1/32 s that reads 512 MB: 125000 pages of 20 ns are 8 % of it."""
    one = replace(measured(), pages=Pages(setting, 512_000_000, 0), way=Way(1, (0,)))
    (cause,) = causes(one, around())[0]
    assert cause.name == "huge pages" and said in cause.change.text
    assert cause.evidence == f"0 MB in huge pages, a token reads 512 MB; the kernel's setting is {setting}"
    assert cause.change.gain == pytest.approx(1 / (1 - 125_000 * 20e-9 * 32))
    assert cause.change.computed.startswith("at most, of generation: 20 ns")


def clocks(folder: Path, **files: str) -> dict[int, Clock]:
    for cpu in range(4):
        (folder / f"cpu{cpu}/cpufreq").mkdir(parents=True)
        for name, text in files.items():
            (folder / f"cpu{cpu}/cpufreq/{name}").write_text(text + "\n")
    return read_clocks(range(6), folder)


def test_a_clock_that_somebody_limits(tmp_path: Path) -> None:
    found = clocks(tmp_path, cpuinfo_max_freq="3000000", scaling_max_freq="1500000", scaling_governor="performance")
    assert sorted(found) == [0, 1, 2, 3]
    assert found[0] == Clock("performance", None, 3_000_000, None, 1_500_000)
    (cause,) = causes(measured(), replace(around(), clocks=found))[0]
    assert cause.name == "clock limit" and cause.change.gain == pytest.approx(2)
    assert cause.evidence == "4 of 4 CPUs may run at 1500 of 3000 MHz at most (scaling_max_freq)"
    assert cause.change.text == "echo 3000000 | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_max_freq"
    cooled = measured()
    cooled.samples = [replace(one, reading=replace(one.reading, cooling=2)) for one in cooled.samples]
    assert causes(cooled, replace(around(), clocks=found))[0][0].change.text.startswith("cool the machine")


@pytest.mark.parametrize(
    ("governor", "driver", "mhz", "gain"),
    [
        ("performance", "cppc_cpufreq", 1000.0, None),
        ("schedutil", "cppc_cpufreq", 2900.0, None),
        ("schedutil", "cppc_cpufreq", 1500.0, 2.0),
        ("powersave", "cppc_cpufreq", None, 3.0),
        ("powersave", "intel_pstate", 1500.0, None),
        ("ondemand", "cppc_cpufreq", None, None),
    ],
)
def test_a_governor(tmp_path: Path, governor: str, driver: str, mhz: float | None, gain: float | None) -> None:
    files = {"cpuinfo_max_freq": "3000000", "scaling_max_freq": "3000000", "scaling_min_freq": "1000000"}
    found = clocks(tmp_path, scaling_governor=governor, scaling_driver=driver, **files)
    one = measured()
    one.samples = [replace(sample, reading=Reading(mhz=mhz)) for sample in one.samples]
    faults, ruled_out = causes(one, replace(around(), clocks=found))
    if gain is None:
        assert faults == [] and governor in ruled_out["governor"]
    else:
        (cause,) = faults
        assert cause.name == "governor" and cause.change.gain == pytest.approx(gain)
        assert governor in cause.evidence and "echo performance" in cause.change.text


def test_clocks_that_nobody_tells(tmp_path: Path) -> None:
    (tmp_path / "cpu0/cpufreq").mkdir(parents=True)
    (tmp_path / "cpu0/cpufreq/scaling_max_freq").write_text("<unknown>\n")
    assert read_clocks([0, 1], tmp_path) == {0: Clock()}
    assert names(measured(), replace(around(), clocks={0: Clock()})) == []


def test_more_threads_by_the_read_peaks() -> None:
    few = replace(measured(n_threads=1), peaks={1: 10.0, 2: 14.0, 3: 15.0, 4: 15.0})
    (cause,) = causes(few, around())[0]
    assert (cause.change.way, cause.change.gain) == (Way(4), 4.0)
    assert (
        cause.change.computed
        == "at most, of prompts; generation 1.50 times by what so many threads read: 10 to 15 GB/s"
    )
    assert any(
        line == "read peak by threads, GB/s  1: 10, 2: 14, 3: 15, 4: 15"
        for line in command.lines(NOTHING, few, [], {}, [])
    )


def test_which_peaks_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "memory_peak_gbps", lambda n_bytes, n: None if n == 3 else float(n))
    assert list(measuring.read_peaks(1, 20)) == [1, 2, 4, 5, 6, 7, 8, 16, 20]
    assert measuring.read_peaks(1, 0) == {}


def test_several_faults_the_gravest_first() -> None:
    both = measured(n_threads=8, run_delay_percent=50.0, steal_percent=10.0)
    assert names(both, around()) == ["threads", "hypervisor"]


def test_what_bounds_a_phase() -> None:
    one = measured()
    assert bound(one, "decode").startswith("bound by reading the weights: 75 % of 20 GB/s")
    assert bound(one, "prefill").startswith("bound by int8 products: 75 % of 40 GOP/s")
    one.decode.limit = 100.0
    assert bound(one, "decode").startswith("not bound by reading the weights: 15 %")
    one.decode.limit = math.nan
    assert bound(one, "decode") == "no limit was measured"


@pytest.mark.parametrize(
    ("after", "confirmed", "text"),
    [
        ([0.5] * 5, True, "confirmed: prefill 2.00 times as fast, decode 2.00 times as fast"),
        ([1.0] * 5, False, "withdrawn, no gain beyond what turns differ by: "),
        ([0.5, 2.0, 0.5, 2.0, 0.5], False, "withdrawn, no gain beyond what turns differ by: "),
        ([0.9, 0.9, 0.9, 0.9, 1.2], True, "confirmed: "),
        ([2.0] * 5, False, "withdrawn, prefill and decode slower: "),
    ],
)
def test_a_check_confirms_or_withdraws(after: list[float], confirmed: bool, text: str) -> None:
    one, other = measured(), measured()
    one.prefill.seconds = one.decode.seconds = [1.0] * 5
    other.prefill.seconds = other.decode.seconds = after
    found = checking.judged(one, other)
    assert found.confirmed is confirmed and found.text.startswith(text)


def test_what_cannot_be_tried() -> None:
    (cause,) = causes(measured(steal_percent=20.0), around())[0]
    plan = measuring.Plan(1, 1, 1)
    assert checking.check(NOTHING, Way(1), cause, plan, Places()).confirmed is None


@pytest.mark.parametrize(("version", "line"), [(2, "throttled_usec 2500000"), (1, "throttled_time 2500000000")])
def test_how_long_a_group_was_stopped(tmp_path: Path, version: int, line: str) -> None:
    own = tmp_path / "own"
    own.write_text("0::/a\n" if version == 2 else "3:cpu:/a\n")
    folder = tmp_path / ("a" if version == 2 else "cpu/a")
    folder.mkdir(parents=True)
    assert throttled_seconds(tmp_path, own) is None
    (folder / "cpu.stat").write_text(f"nr_periods 7\n{line}\n")
    assert throttled_seconds(tmp_path, own) == pytest.approx(2.5)
    (folder / "cpu.stat").write_text("throttled_usec much\n")
    assert throttled_seconds(tmp_path, own) is None


def test_turns_end_after_their_time() -> None:
    times = iter(range(0, 1000, 25))
    plan = measuring.Plan(1, 1, 10, seconds=60.0)
    assert list(plan.turns(lambda: float(next(times)))) == [0, 1, 2, 3]
    assert list(measuring.Plan(1, 1, 10, seconds=0.0).turns(lambda: float(next(times)))) == [0, 1]
    assert len(list(measuring.Plan(1, 1, 10).turns(lambda: 0.0))) == 10


SHORT = ("-p", "8", "-n", "4", "-r", "4")


@pytest.fixture
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INT8_MACS", 10_000_000)


def test_the_command_names_threads_that_take_turns(
    tiny: Path, short_looks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    n = 2 * len(surroundings.Surroundings.now(Places()).available)
    assert main(["explain", str(tiny), "-t", str(n), *SHORT, "--check", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    found = {cause["name"]: cause for cause in data["causes"]}
    assert found["threads"]["way"]["n_threads"] <= n // 2
    assert found["threads"]["check"]["confirmed"] in (True, False)
    assert "load" in data["ruled_out"] and data["way"] == {"n_threads": n, "cpus": None}
    assert 2 <= len(data["phases"]["prefill"]["seconds"]) == len(data["phases"]["decode"]["seconds"]) <= 4


def test_the_text(tiny: Path, short_looks: None, capsys: pytest.CaptureFixture[str]) -> None:
    n = 2 * len(surroundings.Surroundings.now(Places()).available)
    assert main(["explain", str(tiny), "-t", str(n), *SHORT]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{tiny.name}, {n} threads\nprefill ")
    assert f". threads: {n} threads take turns on" in out and "   change: " in out and "\nruled out\n" in out
    assert "checked:" not in out


def test_text_of_a_fault_that_was_checked() -> None:
    found, ruled_out = causes(measured(n_threads=8, run_delay_percent=50.0), around())
    checks = [checking.Check({}, {}, True, "confirmed: decode 1.90 times as fast")]
    told = command.lines(Path("m.gguf"), measured(n_threads=8), found, ruled_out, checks)
    assert "1. threads: 8 threads take turns on 4 CPUs, and wait for each other at every operation" in told
    assert "   change: 4 threads (-t 4)" in told
    assert (
        "   expected: 2.00 times as fast (computed: at least: each CPU's time goes to one thread and not to several)"
        in told
    )
    assert "   checked: confirmed: decode 1.90 times as fast" in told


def test_no_fault_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    told = command.lines(Path("m.gguf"), measured(), *causes(measured(), around()), [])
    assert "no fault found" in told


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "m.gguf", "-r", "3"]) == 2
    assert "expected 4 to" in capsys.readouterr().err
    assert main(["explain", "absent.gguf"]) == 1
    assert "no such file" in capsys.readouterr().err
