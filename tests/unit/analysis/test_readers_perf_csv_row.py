"""Single rows of `perf stat -x`, synthetic, in perf's documented order."""

from __future__ import annotations

import pytest

from analysis.readers.perf_csv_row import Dialect, PerfRow
from analysis.readers.perf_csv_row import parse as parse_line
from analysis.readers.perf_rows import Malformed


def parse(line: str, separator: str, comma: bool = False) -> PerfRow | None:
    return parse_line(line, Dialect(separator, comma, is_old="100" not in line)).row


def test_decimal_commas_need_another_separator() -> None:
    row = parse("     1,000200300;7,50;msec;task-clock;7500000;66,67;1,000;CPUs utilized", ";")
    assert row is not None
    assert (row.time_s, row.value, row.running) == (1.0002003, 7.5, 66.67 / 100)


@pytest.mark.parametrize(
    ("line", "event", "value"),
    [
        ("9,,armv8_pmuv3_0/event=0x4005,config1=1/,100,50.00,,", "armv8_pmuv3_0/event=0x4005,config1=1/", 9.0),
        (
            "9,,armv8_pmuv3_0/event=0x4005,config1=1/,1.50%,100,50.00,0.1,M/sec",
            "armv8_pmuv3_0/event=0x4005,config1=1/",
            9.0,
        ),
        ("     0.100200418,CPU3,9,,a/b=1,c=2,d=3/u,100,50.00,,", "a/b=1,c=2,d=3/u", 9.0),
        ("12345,cycles", "cycles", 12345.0),
        ("12345,,cycles", "cycles", 12345.0),
        ("12345,,cycles,100,50.00", "cycles", 12345.0),
    ],
)
def test_event_names_and_short_rows(line: str, event: str, value: float) -> None:
    row = parse(line, ",")
    assert row is not None
    assert (row.event, row.value) == (event, value)


@pytest.mark.parametrize(
    ("field", "scope"),
    [
        ("CPU12", "cpu:12"),
        ("S1-D0-C7,2", "core:S1-D0-C7"),
        ("S0-D0-L3-ID4,8", "cache:S0-D0-L3-ID4"),
        ("S0-D0-CLS1,4", "cluster:S0-D0-CLS1"),
        ("S1-D1,24", "die:S1-D1"),
        ("S1,48", "socket:S1"),
        ("N1,48", "node:N1"),
        ("ggml, worker-1234", "thread:ggml, worker-1234"),
        ("12-99", "thread:12-99"),
    ],
)
def test_scopes(field: str, scope: str) -> None:
    row = parse(f"{field},55,,cycles,100,100.00,,", ",")
    assert row is not None
    assert (row.scope, row.value, row.event) == (scope, 55.0, "cycles")


def test_row_of_a_second_metric_is_no_count() -> None:
    assert parse("     1.000200300,,,,,,,0.50,stalled cycles per insn", ",") is None
    assert parse("S0-D0-C0,,,,,,,0.50,stalled cycles per insn", ",") is None


@pytest.mark.parametrize(
    ("line", "scope", "running"),
    [
        ("5,,cycles,A,100,50.00,,", "cgroup:A", 0.5),
        ("5,,cycles,/user.slice,1.50%,100,50.00,,", "cgroup:/user.slice", 0.5),
        ("5,,cycles,,100,50.00,,", "", 0.5),
        ("CPU3,5,,armv8_pmuv3/config=1,event=2/,A,100,50.00,,", "cpu:3 cgroup:A", 0.5),
        ("     1.000200300,CPU3,5,,cycles,A,100,50.00,,", "cpu:3 cgroup:A", 0.5),
    ],
)
def test_control_groups(line: str, scope: str, running: float) -> None:
    row = parse(line, ",")
    assert row is not None
    assert (row.scope, row.value, row.running) == (scope, 5.0, running)


@pytest.mark.parametrize(
    ("line", "event", "value", "running"),
    [
        ("1000,,cycles,311478,100,00,2,GHz", "cycles", 1000.0, 1.0),
        ("7,50,msec,task-clock,75,83,33,1,CPUs", "task-clock", 7.5, 0.8333),
        ("1000,,cycles,1,50%,311478,83,33,,", "cycles", 1000.0, 0.8333),
        ("     1,000200300,CPU0,1000,,a/b=1,c=2/u,311478,83,33,,", "a/b=1,c=2/u", 1000.0, 0.8333),
        ("     1.000200300,1000,,cycles,A,311478,0,00,,", "cycles", 1000.0, 0.0),
    ],
)
def test_decimal_commas_between_commas(line: str, event: str, value: float, running: float) -> None:
    row = parse(line, ",", comma=True)
    assert row is not None
    assert (row.event, row.value, row.running) == (event, value, pytest.approx(running))
    with pytest.raises(Malformed):
        parse(line, ",")


@pytest.mark.parametrize(
    "line",
    ["5,,cycles,311478,100,00,2,GHz", "5,,a/b,100,50.00,,", "5,M/sec,cycles,100,50.00,,", "5,,cycles,100,50,,"],
)
def test_nothing_is_glued_to_a_name(line: str) -> None:
    with pytest.raises(Malformed):
        parse(line, ",")


def test_groups_of_metrics() -> None:
    head = parse_line("     1.000200300,,225849327050,100.00,,,,TopdownL1", Dialect(","))
    assert (head.group, head.running, head.row) == ("TopdownL1", 1.0, None)
    line = parse_line("CPU0,,,,,,70.1,%  tma_backend_bound", Dialect(","))
    assert [(m.event, m.value, m.scope, m.unit) for m in line.metrics] == [("metric:backend_bound", 70.1, "cpu:0", "%")]
    line = parse_line("4330308058,,cpu_cycles,1000,66.99,27.1,%  frontend_bound", Dialect(","))
    (metric,) = line.metrics
    assert (metric.event, metric.value, metric.running) == ("metric:frontend_bound", 27.1, pytest.approx(0.6699))
