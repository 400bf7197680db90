"""Rows of one capture: the verdicts of `analysis.stalls`, and a reason where there are none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import synthetic_captures as captures
import synthetic_fleet
from synthetic_captures import decode
from synthetic_fleet import Plan

from analysis.fleet import rows
from analysis.fleet.files import Listed, listed
from analysis.fleet.rows import BROKEN, COLUMNS, JUDGED, UNREADABLE, Reading, summarise
from analysis.judging import load

NOW = 1_800_000_000_000_000


def test_a_row_a_phase_with_the_verdicts_of_stalls(tmp_path: Path) -> None:
    (path,) = synthetic_fleet.write(tmp_path, Plan(devices=8, captures=8), 7, 8)
    (one,) = listed([str(path)])
    prefill, token = summarise([one], Reading(), NOW)
    judged = load(path).judged()
    for row, phase in zip((prefill, token), judged, strict=True):
        combined = phase.judgement.combined
        assert set(row) == set(COLUMNS) and row["state"] == JUDGED
        assert (row["verdict"], row["confidence"]) == (str(combined.outcome), str(combined.confidence))
        assert row["tokens_per_s"] == pytest.approx(phase.tokens_per_second)
        assert row["margin"] == combined.margin and row["ipc"] == phase.metrics["ipc"].number()
        assert row["stalls_verdict"] == str(phase.judgement.stalls.outcome)
        assert row["stalls_margin"] == phase.judgement.stalls.margin
    assert (prefill["verdict"], token["verdict"]) == ("compute-bound", "memory-bound")
    assert (prefill["phase"], prefill["batch"], token["batch"], token["depth"]) == ("prefill", 256, 1, 512 + 5.5)
    assert (token["device"], token["machine"], token["threads"]) == ("synthetic-007", "synthetic", 4)
    assert (token["commit"], token["model"]) == (synthetic_fleet.commit_name(3), "synthetic Q4_0")
    assert token["started_by"] == "capture" and token["read"] == NOW
    assert token["started"] == (synthetic_fleet.START.timestamp() + 90 * 86400 * 7 / 8) * 1e6
    assert token["frequency_hz"] == pytest.approx(1.6e9)


def test_what_is_broken_is_a_row_with_its_reason(tmp_path: Path) -> None:
    paths = [*synthetic_fleet.write_broken(tmp_path), tmp_path / "gone.csv"]
    found = summarise([Listed(str(path), "mark", 1, 5) for path in paths], Reading(), NOW)
    assert [row["state"] for row in found] == [BROKEN] * 4 + [UNREADABLE]
    assert [row["reason"] for row in found[:2]] == ["is empty", "the line of column names is missing"]
    assert found[4]["reason"] == "no such file" and found[4]["started"] == 5 and found[0]["device"] == "broken"


def test_a_defect_in_reading_one_is_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path, options: object) -> None:
        raise OSError(5, "Input/output error") if path.stem == "a" else RuntimeError("synthetic\ndefect")

    monkeypatch.setattr(rows, "load_runs", fails)
    first, second = summarise([Listed(f"/{name}.csv", "mark", 1) for name in "ab"], Reading(), NOW)
    assert (first["state"], first["reason"]) == (UNREADABLE, "cannot be read: Input/output error")
    assert (second["state"], second["reason"]) == (BROKEN, "cannot be read: RuntimeError: synthetic\\ndefect")


def test_devices_are_named_by_the_header_or_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "rack" / "synthetic.csv"
    path.parent.mkdir()

    def device(reading: Reading, **header: object) -> object:
        captures.write_capture(path, decode(3, 0.02, {"CPU_CYCLES": 1e6}), header)
        return summarise([Listed(str(path), "", 1)], reading, NOW)[0]["device"]

    assert device(Reading()) == "rack" and device(Reading(), host="a", serial="b") == "a"
    assert device(Reading(device="serial"), host="a", serial="b") == "b"
    assert device(Reading(device="serial"), host="a") == "rack"
    assert device(Reading(device="folder"), device="a") == "rack"


def test_how_it_was_read_is_part_of_the_mark(tmp_path: Path) -> None:
    one = Listed("/a.csv", "tag", 1)
    readings = [Reading(), Reading(lenient=True), Reading(format="perf-csv"), Reading(device="host")]
    assert len({reading.marked(one) for reading in readings}) == 4


def test_times_are_utc_unless_they_say_otherwise(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 31, 10, tzinfo=UTC).timestamp() * 1e6
    told = {"2026-01-31T10:00:00Z": moment, "2026-01-31T12:00:00+02:00": moment, "2026-01-31 10:00": moment}
    for text, wanted in (*told.items(), ("yesterday", 77), ("", 77)):
        path = captures.write_capture(tmp_path / "a.csv", decode(3, 0.02, {}), {"started": text})
        row = summarise([Listed(str(path), "", 1, 77)], Reading(), NOW)[0]
        assert row["started"] == wanted and row["started_by"] == ("file" if wanted == 77 else "capture")


def test_emulated_captures_have_no_speed(tmp_path: Path) -> None:
    path = captures.write_capture(tmp_path / "a.csv", decode(3, 0.02, {"INST_RETIRED": 1e6}), {"emulated": "yes"})
    (row,) = summarise([Listed(str(path), "", 1)], Reading(), NOW)
    assert row["emulated"] is True and row["tokens_per_s"] is None and row["duration_s"] is None
