"""Real files and what a person reads off them. The tables below were typed from the files, not produced by a reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import none_for_nan, readings, spans

from analysis.readers import read
from analysis.table import Table

OK, NOT_COUNTED, NOT_SUPPORTED = "ok", "not counted", "not supported"

# file -> rows of (scope, event, value, status, percent running).
READINGS = {
    "debian_perf6.1_x86vm.csv": [
        ("", "task-clock", 0.83, OK, 100.0),
        ("", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
        ("", "INST_RETIRED", None, NOT_SUPPORTED, 0.0),
        ("", "page-faults", 48.0, OK, 100.0),
        ("", "context-switches", 0.0, OK, 100.0),
    ],
    "debian_perf6.1_x86vm.interval.csv": [
        ("", "task-clock", 1.08, OK, 100.0),
        ("", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
        ("", "page-faults", 74.0, OK, 100.0),
        ("", "task-clock", None, NOT_COUNTED, 100.0),
        ("", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
        ("", "page-faults", None, NOT_COUNTED, 100.0),
        ("", "task-clock", None, NOT_COUNTED, 100.0),
        ("", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
        ("", "page-faults", None, NOT_COUNTED, 100.0),
        ("", "task-clock", 0.07, OK, 100.0),
        ("", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
        ("", "page-faults", 0.0, OK, 100.0),
    ],
    "debian_perf6.1_x86vm.json": [
        ("", "task-clock", 0.805737, OK, 100.0),
        ("", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
        ("", "INST_RETIRED", None, NOT_SUPPORTED, 0.0),
        ("", "page-faults", 49.0, OK, 100.0),
        ("", "context-switches", 0.0, OK, 100.0),
    ],
    "jhammant_brotli-perf-stat.txt": [
        ("", "CPU_CYCLES", 78911009.0, OK, 22.08),
        ("", "INST_RETIRED", 121297105.0, OK, 50.84),
        ("", "STALL_FRONTEND", 18926193.0, OK, 75.34),
        ("", "STALL_BACKEND", 12870085.0, OK, 92.66),
        ("", "L1D_CACHE", 39373844.0, OK, 100.0),
        ("", "L1D_CACHE_REFILL", 334499.0, OK, 100.0),
        ("", "L1D_CACHE", 39373110.0, OK, 100.0),
        ("", "L1D_CACHE_REFILL", 217817.0, OK, 50.79),
        ("", "L1I_CACHE_REFILL", 992143.0, OK, 25.78),
        ("", "L1D_TLB_REFILL", 183036.0, OK, 7.92),
        ("", "BR_PRED", None, NOT_COUNTED, 0.0),
        ("", "BR_MIS_PRED", None, NOT_COUNTED, 0.0),
    ],
    "jhammant_ffmpeg-h264-1080p-perf-stat.txt": [
        ("", "CPU_CYCLES", 40047027864.0, OK, 49.98),
        ("", "INST_RETIRED", 64460924590.0, OK, 49.99),
        ("", "STALL_FRONTEND", 4917985940.0, OK, 50.01),
        ("", "STALL_BACKEND", 13683911637.0, OK, 50.02),
        ("", "L1D_CACHE", 23538552065.0, OK, 50.03),
        ("", "L1D_CACHE_REFILL", 467972475.0, OK, 50.03),
        ("", "L1I_CACHE", 18297288326.0, OK, 50.04),
        ("", "L1I_CACHE_REFILL", 464209225.0, OK, 42.87),
        ("", "L1D_CACHE", 22953333098.0, OK, 42.85),
        ("", "L1D_CACHE_REFILL", 467778043.0, OK, 42.84),
        ("", "L1D_TLB", 26053548752.0, OK, 42.83),
        ("", "L1D_TLB_REFILL", 561866142.0, OK, 42.83),
        ("", "BR_PRED", 6936808644.0, OK, 42.83),
        ("", "BR_MIS_PRED", 118915876.0, OK, 42.83),
    ],
    "armlp_khadas_edge2_a76_stride.perf-stat.txt": [
        ("", "CPU_CYCLES", 44847565198.0, OK, 100.0),
        ("", "STALL_BACKEND", 37845044034.0, OK, 100.0),
        ("", "STALL_FRONTEND", 706422.0, OK, 100.0),
    ],
    "armlp_khadas_edge2_a76_stride.topdown-tool.txt": [
        ("", "metric:frontend_stalled_cycles", 0.0, OK, None),
        ("", "metric:backend_stalled_cycles", 84.38, OK, None),
        ("", "metric:ll_cache_read_mpki", 172.029, OK, None),
        ("", "metric:ll_cache_read_miss_ratio", 0.864, OK, None),
        ("", "metric:ll_cache_read_hit_ratio", 0.136, OK, None),
    ],
    "aosp_applaunch_simpleperf.csv": [
        ("", "CPU_CYCLES", 6595722690.0, OK, 100.0),
        ("", "major-faults", 0.0, OK, 100.0),
    ],
    "formats/perf_human.txt": [
        ("", "task-clock", 0.77, OK, 100.0),
        ("", "page-faults", 49.0, OK, 100.0),
        ("", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
        ("", "INST_RETIRED", None, NOT_SUPPORTED, 0.0),
    ],
    "formats/perf_j_core.txt": [
        ("core:S0-D0-C0", "task-clock", 108.268735, OK, 100.0),
        ("core:S0-D0-C0", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
        ("core:S0-D0-C1", "task-clock", 104.309692, OK, 100.0),
        ("core:S0-D0-C1", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
    ],
    "formats/perf_j_thread.txt": [
        ("thread:python3-16496", "task-clock", 38.577714, OK, 100.0),
        ("thread:python3-16495", "task-clock", 35.813074, OK, 100.0),
        ("thread:python3-16451", "task-clock", None, NOT_COUNTED, 100.0),
    ],
    "formats/perf_o.csv": [
        ("", "task-clock", 0.79, OK, 100.0),
        ("", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
    ],
    "formats/perf_semicolon.txt": [
        ("", "task-clock", 0.78, OK, 100.0),
        ("", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
    ],
    "formats/perf_x.txt": [
        ("", "task-clock", 172.70, OK, 100.0),
        ("", "page-faults", 62.0, OK, 100.0),
        ("", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
        ("", "INST_RETIRED", None, NOT_SUPPORTED, 0.0),
        ("", "STALL_BACKEND", None, NOT_SUPPORTED, 0.0),
        ("", "context-switches", 43.0, OK, 100.0),
    ],
    "formats/perf_x_A.txt": [
        ("cpu:0", "task-clock", 115.97, OK, 100.0),
        ("cpu:1", "task-clock", 115.98, OK, 100.0),
        ("cpu:0", "page-faults", 334.0, OK, 100.0),
        ("cpu:1", "page-faults", 284.0, OK, 100.0),
        ("cpu:0", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
        ("cpu:1", "CPU_CYCLES", None, NOT_SUPPORTED, 0.0),
    ],
    "formats/perf_x_core.txt": [
        ("core:S0-D0-C0", "task-clock", 108.03, OK, 100.0),
        ("core:S0-D0-C0", "page-faults", 493.0, OK, 100.0),
        ("core:S0-D0-C1", "task-clock", 107.18, OK, 100.0),
        ("core:S0-D0-C1", "page-faults", 3239.0, OK, 100.0),
    ],
    "formats/perf_x_die.txt": [
        ("die:S0-D0", "task-clock", 204.02, OK, 100.0),
        ("die:S0-D0", "page-faults", 3389.0, OK, 100.0),
    ],
    "formats/perf_x_node.txt": [
        ("node:N0", "task-clock", 219.98, OK, 100.0),
        ("node:N0", "page-faults", 2465.0, OK, 100.0),
    ],
    "formats/perf_x_r3.txt": [
        ("", "task-clock", 0.82, OK, 100.0),
        ("", "page-faults", 50.0, OK, 100.0),
    ],
    "formats/perf_x_socket.txt": [
        ("socket:S0", "task-clock", 235.45, OK, 100.0),
        ("socket:S0", "page-faults", 4249.0, OK, 100.0),
    ],
    "formats/perf_x_thread.txt": [
        ("thread:python3-16451", "task-clock", 59.34, OK, 100.0),
        ("thread:python3-16451", "page-faults", 686.0, OK, 100.0),
    ],
}


@pytest.mark.parametrize("name", READINGS)
def test_readings(shared_data: Path, name: str) -> None:
    assert readings(read(shared_data / "perf" / name)) == READINGS[name]


def all_files(shared_data: Path) -> list[Path]:
    return sorted(p for p in (shared_data / "perf").rglob("*") if p.is_file())


def test_every_recorded_file_is_read_without_a_word_left_over(shared_data: Path) -> None:
    files = all_files(shared_data)
    assert len(files) == 32
    for path in files:
        table = read(path)
        assert len(table.frame) > 0, path
        assert (table.frame["event"] != "").all(), path


def of(table: Table, event: str, scope: str = "") -> list[float | None]:
    rows = table.frame[(table.frame["event"] == event) & (table.frame["scope"] == scope)]
    return [none_for_nan(v) for v in rows["value"]]


def test_intervals_start_where_the_one_before_ended(shared_data: Path) -> None:
    table = read(shared_data / "perf/debian_perf6.1_x86vm.interval.csv")
    assert spans(table)[::3] == [
        (0.0, 0.100200418),
        (0.100200418, 0.200589482),
        (0.200589482, 0.300891408),
        (0.300891408, 0.361341353),
    ]


def test_intervals_per_cpu_share_their_times(shared_data: Path) -> None:
    table = read(shared_data / "perf/formats/perf_x_A_I.txt")
    assert spans(table)[:4] == [(0.0, 0.052029987)] * 4
    assert spans(table)[4:8] == [(0.052029987, 0.119935562)] * 4
    assert of(table, "task-clock", "cpu:0") == [60.04, 67.95, 12.03]
    assert of(table, "page-faults", "cpu:1") == [732.0, 2450.0, 776.0]


def test_intervals_per_thread(shared_data: Path) -> None:
    table = read(shared_data / "perf/formats/perf_x_thread_I.txt")
    assert len(table.frame) == 18
    assert of(table, "task-clock", "thread:python3-16495") == [11.68, 11.82, 0.38]
    assert of(table, "task-clock", "thread:python3-16496") == [11.90, 7.97, None]


def test_intervals_in_text_and_json(shared_data: Path) -> None:
    text = read(shared_data / "perf/formats/perf_human_I.txt")
    assert of(text, "task-clock") == [1.07, None, 0.08]
    assert spans(text)[0] == (0.0, 0.054040049)
    json = read(shared_data / "perf/formats/perf_j_I.txt")
    assert of(json, "page-faults") == [75.0, None, 0.0]
    assert spans(json)[-1] == (0.110470204, 0.13053345)


@pytest.mark.parametrize(
    ("name", "seconds", "clock"), [("summary", 0.140114786, 1.05), ("summary2", 0.135894560, 0.99)]
)
def test_summary_rows_are_set_aside(shared_data: Path, name: str, seconds: float, clock: float) -> None:
    table = read(shared_data / f"perf/formats/perf_x_{name}.txt")
    assert spans(table)[-1][1] == seconds
    assert len(table.frame) == 6
    assert table.meta["summary"] == {"task-clock": clock}
    assert any("2 summary row(s) set aside" in note for note in table.notes)


def test_elapsed_times_of_text(shared_data: Path) -> None:
    table = read(shared_data / "perf/jhammant_hashtable-bench-perf-stat.txt")
    assert table.meta["elapsed_s"] == 0.232845212
    assert table.meta["user_s"] == 0.220768
    assert table.meta["target"] == "/tmp/bench"
    assert of(table, "L1I_TLB_REFILL") == [771.0]
    assert len(table.frame) == 16


def test_simpleperf_duration(shared_data: Path) -> None:
    table = read(shared_data / "perf/aosp_applaunch_simpleperf.csv")
    assert spans(table) == [(0.0, 1.462129)] * 2


def test_ratio_table(shared_data: Path) -> None:
    table = read(shared_data / "perf/aws_graviton_aggregated_pmu_table.txt")
    assert len(table.frame) == 23 * 8
    assert of(table, "metric:stall_backend_mem_pkc") == [90.73]
    assert of(table, "metric:stall_backend_mem_pkc", "stat:p90") == [97.67]
    assert of(table, "metric:flop_sve_pkc", "stat:p100") == [1871.86]
    assert of(table, "metric:ipc") == [1.81]


def test_raw_code_is_named(shared_data: Path) -> None:
    table = read(shared_data / "perf/formats/perf_x_I.txt")
    assert len(table.frame) == 56
    raw = table.frame[table.frame["source"] == "r4005"]
    assert set(raw["event"]) == {"STALL_BACKEND_MEM"}
    assert len(raw) == 14
