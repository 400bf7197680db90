"""`analysis.timeline` end to end."""

from __future__ import annotations

from pathlib import Path

from analysis_commands import PNG, Run, spawn

from analysis import timeline


def test_another_command_as_a_process(capture: Path) -> None:
    done = spawn("timeline", capture)
    assert (done.returncode, done.stderr) == (0, "")
    assert "decode" in done.stdout


def test_timeline(capture: Path, command: Run, tmp_path: Path) -> None:
    status, out, err = command(timeline.main, capture, "--plot", tmp_path / "timeline.png")
    assert (status, err) == (0, "")
    assert (tmp_path / "timeline.png").read_bytes().startswith(PNG)
    lines = out.splitlines()[2:]
    assert len(lines) == 22
    assert lines[2].split()[:3] == ["decode", "512", "1"]
