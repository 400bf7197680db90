"""`analysis.timeline` end to end, and its report (`reports.timeline_report`)."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_captures as captures
from analysis_commands import PNG, Run, spawn

from analysis import timeline
from analysis.judging import Capture
from analysis.reports import timeline_report
from analysis.reports.model import tables


def test_another_command_as_a_process(capture: Path) -> None:
    done = spawn("timeline", capture)
    assert (done.returncode, done.stderr) == (0, "")
    assert "decode" in done.stdout


def test_timeline(capture: Path, command: Run, tmp_path: Path) -> None:
    picture, page = tmp_path / "timeline.png", tmp_path / "timeline.html"
    status, out, err = command(timeline.main, capture, "--plot", picture, "--html", page)
    assert (status, err) == (0, "")
    assert picture.read_bytes().startswith(PNG)
    assert "How long each step took" in page.read_text()
    lines = out.splitlines()
    steps = lines[lines.index("Every step") + 2 :]
    assert len(steps) == 22
    assert steps[2].split()[:3] == ["decode", "512", "1"]


def test_the_spread_of_single_tokens(counted: Capture) -> None:
    report = timeline_report.of_capture(counted)
    spread = next(tables(report.sections[0].blocks))
    assert spread.shown() == [["decode", "20.00 ms", "19.60 ms", "20.40 ms", "1.02"]]
    assert [len(row) for row in report.picture] == [1, 1]


def test_a_capture_without_steps(tmp_path: Path, command: Run) -> None:
    path = captures.write_perf_total(tmp_path / "synthetic.csv", {"cycles": 1e9, "instructions": 2e9}, 0.5)
    status, out, err = command(timeline.main, path, "--html", tmp_path / "page.html")
    assert (status, err) == (0, "")
    assert "no steps: the capture has no calls and no markers" in out
    assert "no steps in this capture" in (tmp_path / "page.html").read_text()


def test_of_very_many_steps_some_are_shown(
    capture: Path, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline_report, "_MOST_STEPS", 8)
    _, out, _ = command(timeline.main, capture)
    lines = out.splitlines()
    steps = lines[lines.index("One step in 3, of 22") + 2 :]
    assert len(steps) == 8 and [row.split()[1] for row in steps[:2]] != ["0", "0"]
