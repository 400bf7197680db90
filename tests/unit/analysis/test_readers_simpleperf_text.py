"""simpleperf's text. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans, written

from analysis.errors import AnalysisError
from analysis.readers import read

HEAD = "$ adb shell simpleperf stat -a\nPerformance counter statistics:\n\n"
TOTAL = "\nTotal test time: 2.000000 seconds.\n"


def test_threads_and_cpus(tmp_path: Path) -> None:
    text = (
        f"{HEAD}#  thread_name   pid   tid   cpu    count  event_name   # count / runtime,  runtime / enabled_time\n"
        "  ggml worker  100  101  3  5,000  raw-stall-backend-mem  # 1.2 M/sec  (33.5%)\n"
        f"  ggml  100  102  4  6,000  cpu-cycles  # 1.2 GHz\n{TOTAL}shell returned 0\n"
    )
    table = parsed(tmp_path, text)
    assert readings(table) == [
        ("thread:ggml worker-101 cpu:3", "STALL_BACKEND_MEM", 5000.0, "ok", 33.5),
        ("thread:ggml-102 cpu:4", "CPU_CYCLES", 6000.0, "ok", 100.0),
    ]
    assert spans(table) == [(0.0, 2.0)] * 2
    assert "2 line(s) around perf's table skipped" in table.notes


def test_one_cpu_a_line(tmp_path: Path) -> None:
    text = f"{HEAD}# cpu   count  event_name\n  0  1,000  cpu-cycles  # 1 GHz\n  1  2,000  cpu-cycles\n{TOTAL}"
    assert [r[:3] for r in readings(parsed(tmp_path, text))] == [
        ("cpu:0", "CPU_CYCLES", 1000.0),
        ("cpu:1", "CPU_CYCLES", 2000.0),
    ]


@pytest.mark.parametrize("row", ["  12,34  cpu-cycles", "  cpu-cycles", "  5  <b>", "  a b 5 cpu-cycles"])
def test_malformed(tmp_path: Path, row: str) -> None:
    with pytest.raises(AnalysisError, match="line 4: "):
        read(written(tmp_path, f"{HEAD}{row}\n{TOTAL}"))


def test_a_table_without_its_title(tmp_path: Path) -> None:
    header = "#        count  event_name                # count / runtime\n"
    rows = (
        "       110,044  cpu-cycles                # 1.064410 GHz\n  0.108230(ms)  task-clock  # 0.000001 cpus used\n"
    )
    assert [row[1] for row in readings(parsed(tmp_path, header + rows))] == ["CPU_CYCLES", "task-clock"]
    other = "#        count  thread_name  pid  tid  event_name  # count / runtime\n   5  x  1  1  cpu-cycles\n"
    with pytest.raises(AnalysisError, match="columns in an unknown order"):
        parsed(tmp_path, "Performance counter statistics:\n" + other)


def test_a_fence_ends_a_table_without_its_total(tmp_path: Path) -> None:
    text = (
        "Odd:\n```\n#  count  event_name  # count / runtime\n  1,000  cpu-cycles  # 1 GHz\n```\nTo confirm 5 of them,\n"
    )
    assert readings(parsed(tmp_path, text)) == [("", "CPU_CYCLES", 1000.0, "ok", 100.0)]
