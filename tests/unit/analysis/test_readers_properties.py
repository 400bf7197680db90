"""Whatever perf prints reads back to the same table: versions, options and locales drawn at random, all synthetic."""

from __future__ import annotations

import math
from pathlib import Path

import perf_printers
from capture_tables import written
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from perf_printers import Capture, Locale, Reading

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.table import Table

EVENTS = (
    *("cycles", "instructions:u", "stalled-cycles-backend", "r4005", "task-clock", "cpu-clock", "page-faults"),
    *("armv8_pmuv3_0/l3d_cache_refill/", "armv8_cortex_a76/event=0x24,config1=1/ku", "L1-dcache-load-misses"),
)
SCOPES = {
    "": [""],
    "cpu": ["CPU0", "CPU1", "CPU12"],
    "core": ["S0-D0-C0", "S0-D0-C1"],
    "core before 5.3": ["S0-C0", "S0-C1"],
    "cluster": ["S0-D0-CLS0", "S0-D0-CLS2"],
    "cache": ["S0-D0-L3-ID0", "S0-D0-L3-ID8"],
    "die": ["S0-D0", "S1-D0"],
    "socket": ["S0", "S1"],
    "node": ["N0", "N1"],
    "thread": ["ggml-101", "my thread-7"],
}
POINT = [Locale(",", "."), Locale("'", "."), Locale("", ".")]
COMMA = [Locale(".", ","), Locale("\u202f", ","), Locale("\u00a0", ","), Locale("", ",")]
SEPARATORS = [",", ";", "\t", "|", "'", "!", "::", "~*~", "SEP"]

PERCENTS = st.one_of(st.just(100.0), st.integers(1, 9999).map(lambda n: n / 100))


@st.composite
def captures(draw: st.DrawFn) -> Capture:
    events = draw(st.lists(st.sampled_from(EVENTS), min_size=1, max_size=5, unique=True))
    scopes = SCOPES[draw(st.sampled_from(sorted(SCOPES)))]
    cgroups = draw(st.sampled_from([[""], ["A", "/user.slice/b-1"]]))
    times = draw(st.sampled_from([[], [0.1000502, 0.20010042, 12.3]]))
    readings = []
    for _ in times or [0.0]:
        interval = []
        for cgroup in cgroups:
            for event in events:
                for scope in scopes:
                    status = draw(st.sampled_from(["ok", "ok", "ok", "not counted", "not supported"]))
                    count = draw(st.integers(0, (1 << 50) - 1))
                    value = count % 10**9 / 100 if event.endswith("-clock") else float(count)
                    percent = draw(PERCENTS) if status == "ok" else 0.0
                    interval.append(Reading(scope, event, value, status, percent, cgroup))
        readings.append(interval)
    return Capture(readings, times)


def rows_of(table: Table) -> list[tuple[object, ...]]:
    names = ("start_s", "duration_s", "scope", "source", "value", "status", "running", "unit")
    return list(zip(*(table.frame[name] for name in names), strict=True))


def same(found: list[tuple[object, ...]], wanted: list[tuple[object, ...]]) -> bool:
    def equal(a: object, b: object) -> bool:
        if isinstance(a, float) and isinstance(b, float):
            return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b))
        return a == b

    return len(found) == len(wanted) and all(
        all(equal(a, b) for a, b in zip(x, y, strict=True)) for x, y in zip(found, wanted, strict=True)
    )


def check(folder: Path, text: str, wanted: list[tuple[object, ...]]) -> None:
    table = read(written(folder, text))
    assert not table.runs
    assert same(rows_of(table), wanted), (text, rows_of(table), wanted)


OPTIONS = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}
FEW = settings(max_examples=60, **OPTIONS)  # type: ignore[arg-type]


@FEW
@given(captures(), st.sampled_from(POINT + COMMA), st.integers(3, 6), st.booleans(), st.booleans())
def test_text(tmp_path: Path, capture: Capture, locale: Locale, version: int, variance: bool, metrics: bool) -> None:
    check(tmp_path, perf_printers.text(capture, locale, version, variance, metrics), capture.rows(tells_elapsed=True))


@FEW
@given(captures(), st.sampled_from(POINT + COMMA), st.sampled_from(SEPARATORS), st.tuples(*[st.booleans()] * 3))
def test_csv(
    tmp_path: Path, capture: Capture, locale: Locale, separator: str, options: tuple[bool, bool, bool]
) -> None:
    check(tmp_path, perf_printers.csv(capture, locale, separator, *options), capture.rows(False))


@FEW
@given(captures(), st.sampled_from(POINT + COMMA), st.integers(5, 6), st.booleans(), st.booleans())
def test_json(tmp_path: Path, capture: Capture, locale: Locale, version: int, variance: bool, metrics: bool) -> None:
    check(tmp_path, perf_printers.json_lines(capture, locale, version, variance, metrics), capture.rows(False))


@FEW
@given(captures(), st.sampled_from(["text", "csv", "json"]), st.data())
def test_a_spoilt_count_is_refused_with_its_line(
    tmp_path: Path, capture: Capture, form: str, data: st.DataObject
) -> None:
    """Something put into the digits of a count, which leaves no count: never read, never skipped."""
    locale = Locale("", ".")
    text = {
        "text": lambda: perf_printers.text(capture, locale, 6, False, False),
        "csv": lambda: perf_printers.csv(capture, locale, ",", False, False),
        "json": lambda: perf_printers.json_lines(capture, locale, 6, False, False),
    }[form]()
    readings = [one for interval in capture.readings for one in interval]
    n = data.draw(st.integers(0, len(readings) - 1))
    assume(readings[n].status == "ok" and readings[n].value >= 10)
    lines = text.split("\n")
    first = next(i for i, line in enumerate(lines) if readings[0].event in line)
    decimals = 6 if form == "json" else 2 if readings[n].is_clock else 0
    count = locale.number(readings[n].value, decimals, False)
    at = lines[first + n].index(count) + 1
    lines[first + n] = lines[first + n][:at] + data.draw(st.sampled_from("xé<@")) + lines[first + n][at:]
    try:
        table = read(written(tmp_path, "\n".join(lines)))
    except AnalysisError as problem:
        is_only_one = len(readings) == 1 and "no known capture format" in problem.reason
        assert problem.row == first + n + 1 or is_only_one, problem
        assert problem.reason
    else:
        raise AssertionError(f"read: {lines[first + n]!r} as {rows_of(table)}")


@FEW
@given(captures(), st.sampled_from(["csv", "json"]), st.data())
def test_a_row_cut_short_is_the_same_or_refused(
    tmp_path: Path, capture: Capture, form: str, data: st.DataObject
) -> None:
    locale = Locale("", ".")
    csv = perf_printers.csv(capture, locale, ",", False, False)
    text = csv if form == "csv" else perf_printers.json_lines(capture, locale, 6, False, False)
    lines = text.split("\n")
    first = next(i for i, line in enumerate(lines) if capture.readings[0][0].event in line)
    n = data.draw(st.integers(first, len(lines) - 2))
    lines[n] = lines[n][: data.draw(st.integers(1, len(lines[n]) - 1))]
    assume(lines[n].strip())
    try:
        table = read(written(tmp_path, "\n".join(lines)))
    except AnalysisError as problem:
        assert problem.reason
    else:
        assert same(rows_of(table), capture.rows(False)) or table.notes, lines[n]
