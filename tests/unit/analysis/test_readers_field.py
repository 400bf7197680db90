"""Files from public reports, each of a kind that people hand over: what the reader makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import none_for_nan

from analysis import function_shares
from analysis.readers import read
from analysis.table import Table

Facts = dict[tuple[str, str], float | tuple[float, float]]


def facts(table: Table) -> Facts:
    """(scope, event) -> value, or (value, percent running) where that is known to be below 100."""
    found: Facts = {}
    columns = ("scope", "event", "value", "running", "status")
    for scope, event, value, running, status in zip(*(table.frame[c] for c in columns), strict=True):
        if status == "ok" and (scope, event) not in found:
            share = none_for_nan(running, 100)
            found[scope, event] = value if share in (None, 100.0) else (value, share)
    return found


def shares(**percent: float) -> Facts:
    return {("", f"metric:{name}"): value for name, value in percent.items()}


TWO_CGROUPS: Facts = {
    ("cgroup:A", "CPU_CYCLES"): 1e9,
    ("cgroup:A", "STALL_BACKEND"): 4e8,
    ("cgroup:A", "STALL_BACKEND_MEM"): 3e8,
    ("cgroup:B", "CPU_CYCLES"): 2e9,
    ("cgroup:B", "STALL_BACKEND"): 1e8,
    ("cgroup:B", "STALL_BACKEND_MEM"): 1e7,
}
TOPDOWN_L1 = shares(backend_bound=70.1, bad_speculation=2.7, frontend_bound=12.5, retiring=14.6)
FOUR_TO_THREE: Facts = {("", "CPU_CYCLES"): 1e9, ("", "STALL_BACKEND"): 4e8, ("", "STALL_BACKEND_MEM"): 3e8}

FIELD: dict[str, Facts] = {
    "01-zero-count-event-the-core-lacks-pi5-a76.txt": {("", "CPU_CYCLES"): 1e10, ("", "STALL_BACKEND_MEM"): 0.0},
    "01c-zero-instructions-in-1e10-cycles-graviton3.csv": {("", "CPU_CYCLES"): 1e10, ("", "INST_RETIRED"): 0.0},
    "02-for-each-cgroup-two-groups.json": TWO_CGROUPS,
    "02c-cgroup-column.txt": TWO_CGROUPS,
    "03-french-locale-comma-separator-silent.csv": FOUR_TO_THREE,
    "03c-benchkit68-french-locale.json": {
        ("", "task-clock"): 1.397967,
        ("", "CPU_CYCLES"): 1419380.0,
        ("", "STALL_BACKEND"): 259420.0,
    },
    "05-perf3-square-bracket-share-ignored.txt": {
        ("", "CPU_CYCLES"): (1e10, 8.33),
        ("", "STALL_BACKEND"): (1e9, 8.02),
        ("", "STALL_FRONTEND"): (5e8, 8.02),
    },
    "05c-perf3-german-locale.txt": {
        ("", "task-clock"): 5181.527343,
        ("", "CPU_CYCLES"): (17185594397.0, 83.38),
        ("", "INST_RETIRED"): (10588568544.0, 83.37),
        ("", "page-faults"): 2955675.0,
    },
    "05d-perf4-task-clock-msec-in-brackets.txt": {("", "task-clock"): 2479.44874, ("", "STALL_BACKEND"): 1378321174.0},
    "06-default-perf-stat-TopdownL1.csv": {**TOPDOWN_L1, ("", "CPU_CYCLES"): 52288305.0},
    "06c-default-perf-stat-TopdownL1.txt": {**TOPDOWN_L1, ("", "CPU_CYCLES"): 52288305.0},
    "07-perf-stat-of-q4engine-run-stderr-to-file.txt": {("", "task-clock"): 696.91, ("", "page-faults"): 13819.0},
    "07c-root-prompt-pasted.txt": {
        ("", "CPU_CYCLES"): (1309932486.0, 66.83),
        ("", "STALL_BACKEND"): (270766379.0, 66.33),
        ("", "INST_RETIRED"): (2123756264.0, 66.31),
    },
    "07e-rpi5-derived-metrics-appended.txt": {("", "L3D_CACHE_REFILL"): (158093.0, 42.82)},
    "07f-markdown-fence.txt": {
        ("", "CPU_CYCLES"): (1e10, 83.33),
        ("", "STALL_BACKEND"): (4e9, 83.33),
        ("", "STALL_BACKEND_MEM"): (3e9, 83.33),
    },
    "07g-mail-quote-marks-asahi.txt": {("", "CPU_CYCLES"): 34622.0},
    "08-n2-topdown-reason-hidden.txt": {
        ("", "STALL_SLOT_BACKEND"): (14979136808.0, 66.65),
        ("", "metric:backend_bound"): (69.4, 66.65),
    },
    "09-topdown-tool-tree.txt": {
        **shares(backend_bound=39.07, bad_speculation=8.63, frontend_bound=12.42, retiring=40.01),
        **shares(backend_stalled_cycles=36.08, frontend_stalled_cycles=3.54),
    },
    "10-simpleperf-text.txt": {("", "CPU_CYCLES"): 91821403.0, ("", "INST_RETIRED"): 54545727.0},
    "11-separator-apostrophe-autoperf4.csv": {("cpu:30", "cpu-migrations"): 1.0, ("cpu:1", "page-faults"): 0.0},
    "20-a520_simpleperf.txt": {("", "CPU_CYCLES"): 25118448822.0, ("", "STALL_BACKEND_MEM"): 1378331738.0},
    "20-min_fe.txt": {("", "STALL_FRONTEND"): 45000.0, ("", "STALL_BACKEND_MEM"): 5500.0},
    "20-min_n2.txt": {("", "STALL_SLOT"): 25009763735.0},
    "20-min_rich.txt": shares(backend_bound=11.77, frontend_bound=55.73),
    "20-v1_bolt.txt": shares(frontend_bound=55.73, l1i_cache_mpki=60.408, branch_mpki=16.583),
    "20-n1_mix.txt": shares(
        simd_percentage=0.0,
        scalar_fp_percentage=16.45,
        integer_dp_percentage=33.61,
        load_percentage=16.70,
        store_percentage=16.59,
        branch_percentage=16.65,
    ),
    "20-v2_cycle.txt": shares(backend_stalled_cycles=89.22, frontend_stalled_cycles=0.02),
    "20-v3ae_false.txt": {
        ("", "STALL_BACKEND"): (24739777784.0, 30.74),
        ("", "metric:backend_bound"): (85.8, 15.39),
    },
}


@pytest.mark.parametrize("name", FIELD)
def test_field_file(shared_data: Path, name: str) -> None:
    path = shared_data / "field" / name
    if not path.exists():
        pytest.skip(f"no {name} beside the repository")
    found = facts(read(path))
    wanted = FIELD[name]
    assert {key: found.get(key) for key in wanted} == wanted


def test_an_event_listed_twice_stands_in_two_groups(shared_data: Path) -> None:
    frame = read(shared_data / "field/04-event-listed-twice-minimal.txt").frame
    events = frame[~frame["event"].str.startswith("metric:")]
    assert list(zip(events["event"], events["group"], strict=True)) == [
        ("INST_SPEC", "g0"),
        ("ST_SPEC", "g0"),
        ("INST_SPEC", "g1"),
        ("DP_SPEC", "g1"),
    ]


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("07-perf-stat-of-q4engine-run-stderr-to-file.txt", "6 line(s) around perf's table skipped"),
        ("07c-root-prompt-pasted.txt", "4 line(s) around perf's table skipped"),
        ("07e-rpi5-derived-metrics-appended.txt", "3 line(s) around perf's table skipped"),
    ],
)
def test_what_was_skipped_is_counted(shared_data: Path, name: str, note: str) -> None:
    assert note in read(shared_data / "field" / name).notes


def test_lines_of_source_are_no_frames(shared_data: Path) -> None:
    path = shared_data / "field" / "12-perf-script-srcline-flamegraph205.txt"
    found = function_shares.read_functions(path, None, 0.0, False)
    assert {share.symbol for share in found.shares} == {"_dl_map_object"}
