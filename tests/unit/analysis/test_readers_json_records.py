"""JSON as versions and locales of perf write it. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans, written

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.readers.json_records import records, unique
from analysis.readers.perf_rows import Malformed

ROW = '"counter-value" : "{}", "unit" : "", "event" : "{}", "event-runtime" : 5, "pcnt-running" : {}'


def test_decimal_commas() -> None:
    (pairs,) = records('{"interval" : 1,000200300, "counter-value" : "7,50", "a,1" : 100,00, "v" : [1,2]}')
    assert pairs[0] == ("interval", 1.0002003)
    assert pairs[1:3] == [("counter-value", "7,50"), ("a,1", 100.0)]


@pytest.mark.parametrize("text", ["{", "[1]", "5", '{"a" : 1} x', '{"a" : 1,5,5}', '{"a" : 01}', "{}"])
def test_no_records(text: str) -> None:
    with pytest.raises(Malformed):
        records(text)


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="the key 'a' stands twice"):
        unique([("a", 1), ("a", 2)])
    row = "{" + ROW.format(5, "cycles", "100.00") + ', "counter-value" : "6"}\n'
    with pytest.raises(AnalysisError, match="line 1: the key 'counter-value' stands twice"):
        read(written(tmp_path, row))


def test_default_groups_of_metrics(tmp_path: Path) -> None:
    text = (
        "{" + ROW.format(5, "cycles", "100.00") + ', "metric-value" : "2.9", "metric-unit" : "GHz"}\n'
        '{"event-runtime" : 225849327050, "pcnt-running" : 40.00, "metricgroup" : "TopdownL1"}\n'
        '{"metric-value" : "70.100000", "metric-unit" : "%  tma_backend_bound", "metric-threshold" : "bad"}\n'
        '{"metric-value" : "2.700000", "metric-unit" : "%  tma_bad_speculation"}\n'
    )
    assert readings(parsed(tmp_path, text)) == [
        ("", "CPU_CYCLES", 5.0, "ok", 100.0),
        ("", "metric:backend_bound", 70.1, "ok", 40.0),
        ("", "metric:bad_speculation", 2.7, "ok", 40.0),
    ]


def test_metric_only_with_names_on_a_line_of_their_own(tmp_path: Path) -> None:
    text = '{"unit" : "GHz"}{"unit" : "insn per cycle"}\n'
    text += '{"interval" : 1.0}{"metric-value" : "2.9"}{"metric-value" : "1.2"}\n'
    assert [r[1:3] for r in readings(parsed(tmp_path, text))] == [("metric:ghz", 2.9), ("metric:ipc", 1.2)]
    with pytest.raises(AnalysisError, match="3 values below the names of 2 metrics"):
        read(written(tmp_path, text.replace('"1.2"}', '"1.2"}{"metric-value" : "5"}')))


def test_lines_of_values_below_names(tmp_path: Path) -> None:
    """Those spelled as perf spells them are taken as columns, others one by one: to the same table."""
    names = '{"unit" : "GHz"}{"unit" : "insn per cycle"}\n'
    line = '{{"interval" : {}.000123456}}{{"metric-value" : "{}"}}{{"metric-value" : "{}"}}\n'
    lines = [line.format(n, f"{n}.5", "nan" if n == 7 else f"0.{n}") for n in range(1, 20)]
    plain = parsed(tmp_path, names + "".join(lines))
    spread = parsed(tmp_path, names + "".join(one.replace("}{", "} {") for one in lines))
    assert readings(plain) == readings(spread) and len(readings(plain)) == 2 * 19 - 1
    assert spans(plain) == spans(spread)
    again = parsed(
        tmp_path, names + "".join(lines) + names.replace("GHz", "CPUs utilized") + lines[-1].replace("19", "20")
    )
    assert [event for _, event, *_ in readings(again)][-4:] == [
        *("metric:ghz", "metric:ipc"),
        *("metric:cpus_utilized", "metric:ipc"),
    ]


def test_output_of_the_program_between(tmp_path: Path) -> None:
    text = "Once upon a time\n{" + ROW.format(5, "cycles", "100.00") + "}\nload time = 5 ms\n"
    table = parsed(tmp_path, text)
    assert len(table.frame) == 1
    assert "2 line(s) around perf's table skipped" in table.notes


def test_cgroups_beside_cpus(tmp_path: Path) -> None:
    text = '{"cpu" : "1", ' + ROW.format(5, "cycles", "100.00") + ', "cgroup" : "A"}\n'
    assert readings(parsed(tmp_path, text))[0][0] == "cpu:1 cgroup:A"
