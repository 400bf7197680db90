"""The report of a capture (`reports.capture_report`) as text and as JSON, and captures in groups."""

from __future__ import annotations

import json

from analysis.judging import Capture
from analysis.reports import capture_report, data, groups, text
from analysis.reports.model import Fold, tables


def rendered(capture: Capture) -> str:
    return text.render(capture_report.of_capture(capture), capture_report.source(capture))


def test_the_report_starts_with_a_line_a_phase(counted: Capture) -> None:
    lines = rendered(counted).splitlines()
    assert lines[0].startswith(str(counted.path))
    assert lines[1].startswith("  prefill  568.9 tokens/s  compute-bound (medium confidence): ")
    second = next(index for index, line in enumerate(lines) if line.startswith("  decode  50.0 tokens/s  memory-bound"))
    assert second < lines.index("prefill  512 tokens, 0.900 s, 568.9 tokens/s")
    assert sum("Next: " in line for line in lines) == 2


def test_text_gives_every_reason_that_json_gives(counted: Capture, timed: Capture) -> None:
    for capture in (counted, timed):
        shown = " ".join(rendered(capture).split())
        for phase in json.loads(data.render([capture]))["captures"][0]["phases"]:
            assert " ".join(phase["summary"]["next"].split()) in shown
            verdicts = [phase["verdict"], *(rule for rule in phase["rules"] if rule["outcome"] != "not measured")]
            for verdict in verdicts:
                for reason in (*verdict["reasons"], *verdict["remarks"]):
                    assert " ".join(reason.split()) in shown


def test_metrics_that_are_missing_are_named_once(counted: Capture) -> None:
    (reason,) = capture_report.missing(counted.judged()[1])
    assert reason.startswith("SVE_INST_SPEC, ") and reason.endswith(": not in the capture")


def test_groups(counted: Capture) -> None:
    head, *rows = groups.render([counted, counted], ("core",)).splitlines()
    assert head.split()[:3] == ["core", "phase", "captures"]
    assert len(rows) == 2 and all(row.startswith("Neoverse N2") for row in rows)
    assert "2 memory-bound" in rows[0] and "2 compute-bound" in rows[1]


def test_details_are_folded_and_sections_follow_the_phases(timed: Capture) -> None:
    report = capture_report.of_capture(timed)
    assert [section.title for section in report.sections] == ["", "prefill", "decode", "Steps over time", "Roofline"]
    folds = [block.title for block in report.sections[2].blocks if isinstance(block, Fold)]
    assert folds == ["How the verdict was reached", "Time by tensor (3)"]
    decode = next(tables(report.sections[2].blocks))
    assert [row[0] for row in decode.rows] == ["gemm", "attention", "rms_norm"]
    assert list(decode.hues) == ["blue", "violet", "sage"]
    assert [column.title for column in decode.columns if column.secondary] == ["GB/s", "GOP/s", "bytes by"]
    assert "Steps over time" not in rendered(timed)


def test_every_ratio_is_on_the_page(counted: Capture) -> None:
    (section,) = (section for section in capture_report.of_capture(counted).sections if section.title == "decode")
    (ratios,) = (block for block in section.blocks if isinstance(block, Fold) and block.title.startswith("Every ratio"))
    (table,) = tables(ratios.blocks)
    rows = {row[0]: row[1:] for row in table.shown()}
    assert rows["memory stalls / back-end stalls"] == ["50.0 %", "50.0 % to 50.0 %", "100 %"]
    assert len(rows) == len(table.rows) and not ratios.in_text


def test_steps_as_a_table(counted: Capture) -> None:
    rows = capture_report.steps_table(counted, capture_report.steps_of(counted)).shown()
    assert len(rows) == 21
    assert rows[0] == ["prefill", "0", "512", "0.000000 s", "900.000 ms", "20.0 %", "10.0 %", "compute-bound"]
    assert rows[1][:5] == ["decode", "512", "1", "0.900000 s", "19.600 ms"]
