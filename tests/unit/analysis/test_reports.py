"""What reports say as text and as JSON, and captures in groups."""

from __future__ import annotations

import json

from analysis.judging import Capture
from analysis.reports import data, groups, text


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


def test_groups(counted: Capture) -> None:
    head, *rows = groups.render([counted, counted], ("core",)).splitlines()
    assert head.split()[:3] == ["core", "phase", "captures"]
    assert len(rows) == 2 and all(row.startswith("Neoverse N2") for row in rows)
    assert "2 memory-bound" in rows[0] and "2 compute-bound" in rows[1]
