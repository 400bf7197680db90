"""Single rows of `perf stat -x`, synthetic, in perf's documented order."""

from __future__ import annotations

import pytest

from analysis.readers.perf_csv_row import parse, sniff_separator
from analysis.readers.perf_rows import Malformed


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


def test_a_separator_is_recognised_by_full_rows_only() -> None:
    assert sniff_separator(["name,age", "alice,31", "1,2"]) is None
    with pytest.raises(Malformed):
        parse("name,age", ",")
