"""The reports' parts: text, groups, rows of breakdowns, pictures and what they fall back to, charts of scaling."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import synthetic_captures as captures
from analysis_commands import HEADER, PARTS, PNG, PROMPT, TOKEN
from synthetic_captures import decode, prefill

from analysis import breakdown, combinations
from analysis.judging import Capture, load
from analysis.reports import breakdown_rows, data, figure, groups, pictures, scaling_chart, summary, text


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    path = tmp_path_factory.mktemp("counted") / "synthetic.csv"
    return load(captures.write_capture(path, [*prefill(512, 0.9, PROMPT), *decode(20, 0.02, TOKEN)], HEADER))


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    path = tmp_path_factory.mktemp("timed") / "synthetic.csv"
    return load(captures.write_per_op(path, PARTS, threads=2, prompt=16, n_decode=8, header=HEADER | {"n_threads": 2}))


def test_the_report_starts_with_a_line_a_phase(counted: Capture) -> None:
    lines = text.render(counted).splitlines()
    assert lines[0].startswith(str(counted.path))
    assert lines[1].startswith("  prefill  568.9 tokens/s  compute-bound (medium confidence): ")
    second = next(index for index, line in enumerate(lines) if line.startswith("  decode  50.0 tokens/s  memory-bound"))
    assert second < lines.index("prefill  512 tokens, 0.900 s, 568.9 tokens/s")
    assert sum("Next: " in line for line in lines) == 2


def test_text_gives_every_reason_that_json_gives(counted: Capture, timed: Capture) -> None:
    for capture in (counted, timed):
        shown = " ".join(text.render(capture).split())
        for phase in json.loads(data.render([capture]))["captures"][0]["phases"]:
            assert " ".join(phase["summary"]["next"].split()) in shown
            verdicts = [phase["verdict"], *(rule for rule in phase["rules"] if rule["outcome"] != "not measured")]
            for verdict in verdicts:
                for reason in (*verdict["reasons"], *verdict["remarks"]):
                    assert " ".join(reason.split()) in shown


def test_metrics_that_are_missing_are_named_once(counted: Capture) -> None:
    (reason,) = text.missing(counted.judged()[1])
    assert reason.startswith("SVE_INST_SPEC, ") and reason.endswith(": not in the capture")


def test_counts_of_events_that_rules_read(counted: Capture) -> None:
    assert all(breakdown_rows.has_counts(phase) for phase in counted.judged())


def test_groups(counted: Capture) -> None:
    head, *rows = groups.render([counted, counted], ("core",)).splitlines()
    assert head.split()[:3] == ["core", "phase", "captures"]
    assert len(rows) == 2 and all(row.startswith("Neoverse N2") for row in rows)
    assert "2 memory-bound" in rows[0] and "2 compute-bound" in rows[1]


def test_rows_of_a_breakdown(timed: Capture) -> None:
    tokens = timed.judged()[1]
    found = breakdown.of_phase(tokens, timed.table)
    assert found is not None
    rows = breakdown_rows.rows(found, found.operations)
    assert {len(row) for row in rows} == {len(breakdown_rows.head(found))}
    assert rows[0][0] == "gemm" and rows[0][1] == "85.1 %"
    assert not breakdown_rows.has_counts(tokens)
    assert summary.of_phase(tokens, timed).verdict == "gemm takes 85.1 % of the time"


def test_pictures_fall_back_from_stalls_to_time(counted: Capture, timed: Capture) -> None:
    cycles, time = pictures.stack_of(counted), pictures.stack_of(timed)
    assert cycles is not None and time is not None
    assert (cycles.of, time.of) == ("cycles", "time")
    shares = time.shares(timed.judged()[1], timed.judged()[1])
    assert shares is not None and sum(shares) == pytest.approx(100, abs=0.1)
    assert pictures.stalls(counted).startswith(PNG)
    ElementTree.fromstring(pictures.timeline(timed, "svg"))


def test_names_of_a_capture_are_no_formulas() -> None:
    assert figure.label("a$b$\x1b") == r"a\$b\$\x1b"
    assert figure.form_of(Path("a.SVG")) == "svg" and figure.form_of(Path("a")) == "png"


def test_scaling_of_one_combination(timed: Capture) -> None:
    found = combinations.gather([timed])
    assert [(entry.kind, entry.threads, entry.prompt) for entry in found] == [("prefill", 2, 16), ("decode", 2, 16)]
    assert combinations.speed_up(combinations.of_kind(found, "decode"), 2, 16) == 1.0
    assert combinations.leading_components(found)[0] == "gemm"
    assert "decode" in scaling_chart.render(found)
    assert scaling_chart.picture(found, "synthetic").startswith(PNG)
