"""The default number of threads on machines of every kind, from trees as sysfs and the control groups have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cpu_trees import NO_GROUPS, machine

from q4engine.cpus import choose_threads, cpu_quota

# capacities as device trees have them, and the expected default
CLUSTERS = {
    "1+3+4 (X1, A78, A55)": ([250] * 4 + [773] * 3 + [1024], 4),
    "1+5+2 (X4, A720, A520)": ([300] * 2 + [865] * 3 + [900] * 2 + [1024], 6),
    "4+4 (A73, A53)": ([462] * 4 + [1024] * 4, 4),
    "2+6 (A76, A55)": ([380] * 6 + [1024] * 2, 2),
    "2+2+4 RK3588 (A76, A76, A55)": ([530] * 4 + [1024] * 2 + [1024] * 2, 4),
    "8 alike": ([1024] * 8, 8),
    "80 cores in two nodes": ([1024] * 80, 80),
    "one CPU": ([1024], 1),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_cores_that_make_it_faster(name: str, tmp_path: Path) -> None:
    capacities, expected = CLUSTERS[name]
    found = choose_threads(range(len(capacities)), machine(tmp_path, capacities), NO_GROUPS, NO_GROUPS)
    assert found.n == expected
    assert (found.why is None) == (expected == len(capacities))


def test_the_reason_is_one_sentence(tmp_path: Path) -> None:
    found = choose_threads(range(8), machine(tmp_path, [250] * 4 + [773] * 3 + [1024]), NO_GROUPS, NO_GROUPS)
    assert found.why == "the other 4 of 8 CPUs have 24% of the fastest's speed and would hold it up"


def test_an_affinity_of_little_cores_takes_them_all(tmp_path: Path) -> None:
    sysfs = machine(tmp_path, [250] * 4 + [773] * 3 + [1024])
    assert choose_threads([0, 1, 2, 3], sysfs, NO_GROUPS, NO_GROUPS).n == 4
    assert choose_threads([0, 7], sysfs, NO_GROUPS, NO_GROUPS).n == 1


def test_frequencies_where_there_are_no_capacities(tmp_path: Path) -> None:
    favoured = machine(tmp_path / "a", frequencies=[4_800_000] * 6 + [5_000_000] * 2)
    assert choose_threads(range(8), favoured, NO_GROUPS, NO_GROUPS).n == 8
    little = machine(tmp_path / "b", frequencies=[1_800_000] * 4 + [2_400_000] * 4)
    assert choose_threads(range(8), little, NO_GROUPS, NO_GROUPS).n == 4


def test_hardware_threads_of_one_core_count_once(tmp_path: Path) -> None:
    sysfs = machine(tmp_path, siblings=[f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)])
    assert choose_threads(range(8), sysfs, NO_GROUPS, NO_GROUPS).n == 4


def test_what_sysfs_does_not_tell_is_taken_as_alike(tmp_path: Path) -> None:
    sysfs = machine(tmp_path, [1024, 1024, 250])
    assert choose_threads(range(4), sysfs, NO_GROUPS, NO_GROUPS).n == 4  # one CPU tells nothing
    (sysfs / "cpu3").mkdir()
    (sysfs / "cpu3/cpu_capacity").write_text("much\n")
    assert choose_threads(range(4), sysfs, NO_GROUPS, NO_GROUPS).n == 4


def group(root: Path, version: int, path: str, quota: str, period: str = "100000") -> None:
    folder = root / ("" if version == 2 else "cpu,cpuacct") / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (folder / "cpu.max").write_text(f"{quota} {period}\n")
    else:
        (folder / "cpu.cfs_quota_us").write_text(f"{'-1' if quota == 'max' else quota}\n")
        (folder / "cpu.cfs_period_us").write_text(f"{period}\n")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("inner", "outer", "quota", "threads"),
    [
        ("max", "max", None, 8),
        ("100000", "max", 1.0, 1),
        ("max", "200000", 2.0, 2),
        ("350000", "200000", 2.0, 2),
        ("150000", "max", 1.5, 2),
        ("20000", "max", 0.2, 1),
        ("1600000", "max", 16.0, 8),
    ],
)
def test_quotas(tmp_path: Path, version: int, inner: str, outer: str, quota: float | None, threads: int) -> None:
    root = tmp_path / "cgroup"
    group(root, version, "/a", outer)
    group(root, version, "/a/b", inner)
    own = tmp_path / "own"
    own.write_text("0::/a/b\n" if version == 2 else "12:pids:/x\n4:cpu,cpuacct:/a/b\n0::/\n")
    assert cpu_quota(root, own) == quota
    sysfs = machine(tmp_path / "cpu", [1024] * 8)
    found = choose_threads(range(8), sysfs, root, own)
    assert found.n == threads
    assert (found.why is not None) == (threads < 8)


def test_broken_groups_are_no_limit(tmp_path: Path) -> None:
    root, own = tmp_path / "cgroup", tmp_path / "own"
    group(root, 2, "/a", "many")
    own.write_text("0::/a\nnonsense\n")
    assert cpu_quota(root, own) is None
    own.write_bytes(b"\xff\xfe")
    assert cpu_quota(root, own) is None
    assert cpu_quota(root, tmp_path / "absent") is None
