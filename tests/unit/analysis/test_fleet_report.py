"""The report of a fleet: cards, tables, charts and data of synthetic rows with known answers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
import pytest
import synthetic_fleet
from pages import Page
from synthetic_fleet import Plan, commit_name

from analysis import palette
from analysis.errors import AnalysisError
from analysis.fleet.findings import Fleet, keys, of_frame
from analysis.reports import drawing, fleet_charts, fleet_data, fleet_report, html, text
from analysis.reports.charts import Kind


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    frame = synthetic_fleet.rows(Plan(devices=20, captures=200))
    frame["verdict"], frame["family"] = "memory-bound", "memory"
    frame.loc[frame.index[-1], ["state", "reason", "phase", "tokens_per_s"]] = ["broken", "<is> empty", "", None]
    return of_frame(frame)


def test_cards_and_sections(fleet: Fleet) -> None:
    report = fleet_report.of_fleet(fleet, "synthetic")
    device, commit, phase = report.cards
    assert (device.title, device.hue) == ("synthetic-007", palette.WAITING)
    assert device.speed in ("0.79 times as fast", "0.80 times as fast", "0.81 times as fast")
    assert device.verdict == "slower than its twins" and device.why.startswith("clock 1.60 GHz, twins 2.00 GHz. decode")
    assert commit.title == commit_name(3) and commit.verdict == f"slower than {commit_name(2)}"
    assert commit.why.startswith("IPC 0.") and ". decode: 0.9" in commit.why
    assert (phase.title, phase.verdict) == ("decode", "memory-bound in 100 %")
    assert [section.title for section in report.sections][:4] == ["Devices", "Commits", "Over time", "Groups"]
    assert report.sections[0].lead == "1 of 20 slower than its twins"
    assert report.sections[1].lead == "3 steps from commit to commit: 1 slower, none faster"
    assert report.facts[:3] == ["200 captures of 20 devices", "199 phases", "1 captures could not be used"]


def test_every_form_of_it(fleet: Fleet) -> None:
    report = fleet_report.of_fleet(fleet, "synthetic")
    words = text.render(report, "synthetic")
    assert "<is> empty" in words and "synthetic-007" in words
    page = Page(html.render(report))
    assert "<is> empty" in page.words and page.links == ["data:,"]
    assert drawing.picture(report, "svg").startswith(b"<?xml")
    document = json.loads(json.dumps(fleet_data.of_fleet(fleet), allow_nan=False))
    assert document["without_result"][0]["reason"] == "<is> empty"
    assert document["devices"][0]["setup"]["threads"] == 4.0 and document["devices"][0]["setup"]["pmu"] is None
    assert document["groups"][0]["captures"] == 199 and document["group_by"] == ["machine", "model", "threads", "phase"]


def test_charts_have_the_known_answers(fleet: Fleet) -> None:
    dots = fleet_charts.devices(fleet)
    assert dots is not None and [(each.name, len(each.points)) for each in dots.series] == [
        ("decode", 19),
        ("decode, slower than its twins", 1),
    ]
    assert dots.series[1].points[0][1] == pytest.approx(0.8, abs=0.03) and dots.series[1].labels == ("synthetic-007",)
    commits = fleet_charts.over_commits(fleet)
    assert commits is not None and commits.series[0].kind is Kind.LINE
    values = [value for _, value in commits.series[0].points]
    assert values[3] / values[2] == pytest.approx(0.92, abs=0.01) and values[0] == pytest.approx(1, abs=0.03)
    assert commits.series[0].labels == ("", "", "", commit_name(3))
    times = fleet_charts.over_time(fleet)
    assert times is not None and times.x.label == "days since 2026-02-23, a point a week"
    boxes = fleet_charts.spread(fleet)
    assert boxes is not None and boxes.boxes[0].label == "synthetic, 4, decode"
    assert boxes.boxes[0].note == "199 captures, 20 devices"


def test_what_there_is_not_is_said() -> None:
    frame = synthetic_fleet.rows(Plan(devices=1, captures=3, slow=None, regression=None))
    frame["commit"], frame["started"] = "", pd.NaT
    frame["tokens_per_s"] = None
    frame["tokens_per_s"] = frame["tokens_per_s"].astype(float)
    report = fleet_report.of_fleet(of_frame(frame), "synthetic")
    assert report.picture == [] and "no device has twins" in report.sections[0].lead
    assert "no device has captures to compare" in report.sections[1].lead
    assert text.render(report, "synthetic") and html.render(report)
    with pytest.raises(AnalysisError, match="no captures are in the dataset"):
        of_frame(frame[:0])


def test_columns_to_group_by() -> None:
    assert keys("device, phase") == ("device", "phase")
    for words in ("", "started", "colour"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"no column|at least one"):
            keys(words)


def test_a_capture_is_named_as_seen_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shown = {
        path: fleet_report._from_here(path) for path in (f"{tmp_path}/a/b.csv", "/elsewhere/b.csv", "s3://a/b.csv")
    }
    assert list(shown.values()) == ["a/b.csv", "/elsewhere/b.csv", "s3://a/b.csv"]
