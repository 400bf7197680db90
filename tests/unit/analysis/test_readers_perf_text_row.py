"""Lines of `perf stat`'s table for people, synthetic, as perf of many versions prints them."""

from __future__ import annotations

import math
import re

import pytest

from analysis.readers.perf_rows import Malformed
from analysis.readers.perf_text_row import TextLine, is_row_like, parse


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # (scope, event, value, unit, running)
        ("  1,234  cycles", ("", "cycles", 1234.0, "", 1.0)),
        ("  1 234 567  cycles", ("", "cycles", 1234567.0, "", 1.0)),
        ("  12.345,67 msec task-clock", ("", "task-clock", 12345.67, "msec", 1.0)),
        ("  2479.448740  task-clock (msec)  #  0.994 CPUs utilized", ("", "task-clock", 2479.44874, "msec", 1.0)),
        ("  1.229010  task-clock-msecs   #   0.004 CPUs", ("", "task-clock", 1.22901, "msec", 1.0)),
        ("  5181,527343 task-clock        #  0,994 CPUs utilized", ("", "task-clock", 5181.527343, "msec", 1.0)),
        ("  1,000 cycles  #  2.367 GHz   [ 8.33%]", ("", "cycles", 1000.0, "", 0.0833)),
        ("  1,000 cycles  #  2.367 GHz   ( +-  0.50% )  (83.33%)", ("", "cycles", 1000.0, "", 0.8333)),
        ("  1,000 cycles  #  2.367 GHz   (83.33%)  ( +-  0.50% )", ("", "cycles", 1000.0, "", 0.8333)),
        ("  1,000 cycles  #  99.1 M/sec  (scaled from 66.69%)", ("", "cycles", 1000.0, "", 0.6669)),
        ("  1,000 cycles  (+- 0,50%)  [100,00%]", ("", "cycles", 1000.0, "", 1.0)),
        ("CPU12      1,000      cycles", ("cpu:12", "cycles", 1000.0, "", 1.0)),
        ("S0-D0-C0           2         1,000      cycles", ("core:S0-D0-C0", "cycles", 1000.0, "", 1.0)),
        ("S0         24          1000      cycles", ("socket:S0", "cycles", 1000.0, "", 1.0)),
        ("S0-D0-C3           1,000      cycles", ("core:S0-D0-C3", "cycles", 1000.0, "", 1.0)),
        ("      my thread-77        1,000      cycles", ("thread:my thread-77", "cycles", 1000.0, "", 1.0)),
        ("  1,000 cycles   user.slice  # 1 GHz", ("cgroup:user.slice", "cycles", 1000.0, "", 1.0)),
        ("CPU0  1,000 cycles   /  (50.00%)", ("cpu:0 cgroup:/", "cycles", 1000.0, "", 0.5)),
        ("  1,000 l3d_cache [armv8_cortex_a76]", ("", "l3d_cache [armv8_cortex_a76]", 1000.0, "", 1.0)),
        ("  7.50 Joules power/energy-pkg/", ("", "power/energy-pkg/", 7.5, "Joules", 1.0)),
        ("  9 armv8_pmuv3_0/event=0x4005, config1=1/u", ("", "armv8_pmuv3_0/event=0x4005, config1=1/u", 9.0, "", 1.0)),
    ],
)
def test_counts(line: str, expected: tuple[str, str, float, str, float]) -> None:
    found = parse(line)
    assert found is not None
    row = found.row
    assert row is not None
    assert (row.scope, row.event, row.value, row.unit, row.running) == pytest.approx(expected)


def test_a_time_is_no_count_and_a_count_no_time() -> None:
    found = parse("     1.000200300      1,000      cycles")
    assert found is not None and found.row is not None
    assert (found.row.time_s, found.row.value) == (1.0002003, 1000.0)
    found = parse("     5.123456789 msec task-clock")
    assert found is not None and found.row is not None
    assert math.isnan(found.row.time_s)
    assert found.row.value == 5.123456789


@pytest.mark.parametrize(
    ("line", "name", "value", "unit", "group"),
    [
        ("  TopdownL1     #   70.1 %  tma_backend_bound", "metric:backend_bound", 70.1, "%", "TopdownL1"),
        ("  TopdownL1 (cpu_core)  #  70.1 %  tma_retiring", "metric:retiring", 70.1, "%", "TopdownL1 (cpu_core)"),
        ("CPU0     TopdownL1  #  12,5 %  frontend_bound  (7,71%)", "metric:frontend_bound", 12.5, "%", "TopdownL1"),
        ("S0-D0-C0    2   TopdownL1   #  1.8 percent of slots  retiring", "metric:retiring", 1.8, "%", "TopdownL1"),
        ("           #  12.3 percent of slots  retiring  ( +-  1.33% )  (15.40%)", "metric:retiring", 12.3, "%", ""),
        ("  1,000 ld_spec  #  16.7 percent of operations  load_percentage", "metric:load_percentage", 16.7, "%", ""),
    ],
)
def test_ratios(line: str, name: str, value: float, unit: str, group: str) -> None:
    found = parse(line)
    assert found is not None
    (metric,) = found.metrics
    assert (metric.event, metric.value, metric.unit, found.group) == (name, value, unit, group)


@pytest.mark.parametrize(
    ("line", "scope", "group"),
    [
        ("   bench-21276                  #     70.2 %  tma_backend_bound", "thread:bench-21276", ""),
        ("   my task-21328      TopdownL1     #     70.2 %  tma_backend_bound", "thread:my task-21328", "TopdownL1"),
    ],
)
def test_ratios_of_a_thread(line: str, scope: str, group: str) -> None:
    found = parse(line)
    assert found is not None and found.row is None and found.group == group
    assert [(metric.scope, metric.value) for metric in found.metrics] == [(scope, 70.2)]


@pytest.mark.parametrize(
    "line", ["   (0.00%)", "   [83.33%]", "  cycles idle    (66.33%)", "CPU3      #     0.13  stalled cycles per insn"]
)
def test_what_continues_the_line_above(line: str) -> None:
    found = parse(line)
    assert found is not None
    assert found.row is None


@pytest.mark.parametrize("line", ["hello world", "  Done. Final result: 0.5", "-----", "a" * 1900])
def test_what_is_no_line_of_the_table(line: str) -> None:
    assert parse(line) is None
    assert not is_row_like(line)


@pytest.mark.parametrize(
    "line",
    [
        "  12,34   cycles",
        "  1,000 cycles two words",
        "  1,000,00 cycles",
        "  1,000",
        "  1.2.3 msec task-clock",
        "  9 <b>",
    ],
)
def test_wrong_lines(line: str) -> None:
    assert is_row_like(line)
    with pytest.raises(Malformed):
        assert parse(line) is not None, "no line of the table"
        raise AssertionError(f"read as {parse(line)}")


def test_a_line_that_is_only_a_number_is_refused_or_none() -> None:
    with pytest.raises(Malformed, match="expected a count and an event"):
        parse("   1,000")


@pytest.mark.parametrize(
    "line",
    [
        "    10,000,000,000      cycles",
        "     1.001042001      2,600,000,000      cycles                           #    2.600 GHz      (66.67%)",
        "               490      context-switches                 #    4.401 /sec",
        "        98,112      page-faults:u                    #    0.881 K/sec                       (50.00%)",
        "     4107124120      instructions              #    1.21 insn per cycle",
        "    65,221,100      branch-misses             #    0.24% of all branches          (50.01%)",
        "    16,061,923,339      cpu-clock                        #     16.0 CPUs  CPUs_utilized",
        "             1,234      task-clock-msecs",
        "     6,000,000,000      stalled-cycles-backend           #   60.00% backend cycles idle",
    ],
)
def test_the_plainest_lines_read_as_all_others_do(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = parse(line)
    monkeypatch.setattr("analysis.readers.perf_text_row._PLAINEST", re.compile("(?!)"))
    assert repr(quick) == repr(parse(line))


@pytest.mark.parametrize("end", ["GHz", "M/sec", "per cycle", "cycles idle", "of all branches", "all L1-dcache hits"])
def test_the_end_of_a_ratio_in_words_on_a_line_of_its_own(end: str) -> None:
    assert parse(f"  {end}") == TextLine(None, [], "", None)
    assert parse(f"{end}          (50.00%)") == TextLine(None, [], "", 0.5)
    assert parse(f"{end} of a program") is None
