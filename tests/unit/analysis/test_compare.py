"""`analysis.compare` end to end, and its report (`reports.compare_report`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import synthetic_captures as captures
from analysis_commands import HEADER, PNG, Run, write_tokens
from pages import Page
from synthetic_captures import Part

from analysis import changes, compare, palette
from analysis.judging import load
from analysis.reports import compare_charts, compare_report
from analysis.reports.charts import Bars


def test_compare(tmp_path: Path, command: Run) -> None:
    left = write_tokens(tmp_path / "synthetic-a.csv", 0.020, 0.5)
    right = write_tokens(tmp_path / "synthetic-b.csv", 0.024, 0.5)
    status, out, err = command(compare.main, left, right, "--json")
    assert (status, err) == (0, "")
    result = json.loads(out)
    named = {change["name"]: change for change in result["changes"]}
    assert named["time per token"]["relative"] == pytest.approx(0.2)
    assert named["time per token"]["changed"] is True
    assert named["memory stalls / back-end stalls"]["changed"] is False
    assert result["settings"] == [{"key": "kernels", "left": "synthetic-a", "right": "synthetic-b"}]
    status, out, _ = command(compare.main, left, right)
    assert " ".join(out.split()).count("kernels: synthetic-a → synthetic-b") == 1
    assert "time per token" in out and "changed" in out
    assert "memory stalls / back-end stalls" not in out
    assert "nothing changed beyond noise" in command(compare.main, left, left)[1]


def test_compare_operations(per_op: Path, command: Run) -> None:
    one, two = per_op / "synthetic-t1-p64.csv", per_op / "synthetic-t2-p64.csv"
    result = json.loads(command(compare.main, one, two, "--json")[1])
    found = {(c["phase"], c["name"]): c for c in result["changes"] if c["kind"] == "operation"}
    assert found["decode", "gemm"]["relative"] == pytest.approx(-0.5, abs=1e-3)
    assert found["decode", "gemm"]["changed"] is True
    assert found["decode", "rms_norm"]["changed"] is False
    assert found["prefill", "gemm"]["changed"] is None


def _with(path: Path, parts: Sequence[Part], **header: object) -> Path:
    return captures.write_per_op(path, parts, threads=2, prompt=16, n_decode=12, header=HEADER | header)


def test_parts_add_up_to_the_whole_difference(tmp_path: Path, command: Run) -> None:
    """A barrier that appears, an operation that goes, one that only prompts have, one that grows."""
    left = _with(tmp_path / "synthetic-a.csv", [Part("gemm", 4e-4), Part("rope", 3e-5), Part("swiglu", 1e-5)])
    slower = [Part("gemm", 5e-4), Part("barrier", 1e-4), Part("swiglu", 1e-5, when="prompt")]
    right = _with(tmp_path / "synthetic-b.csv", slower)
    found = json.loads(command(compare.main, left, right, "--json")[1])
    for phase in ("prefill", "decode"):
        mine = [change for change in found["changes"] if change["phase"] == phase]
        parts = {change["name"]: change for change in mine if change["kind"] == "operation"}
        (speed,) = [change for change in mine if change["kind"] == "speed"]
        assert sum(part["difference"] for part in parts.values()) == pytest.approx(speed["difference"], rel=1e-9)
        assert (parts["barrier"]["only_in"], parts["barrier"]["left"]) == ("B", 0.0)
        assert (parts["rope"]["only_in"], parts["rope"]["right"]) == ("A", 0.0)
        assert parts["gemm"]["only_in"] is None
    out = command(compare.main, left, right)[1]
    assert "all together" in out and out.count("only in B") >= 2


def test_what_only_one_counted_is_named(tmp_path: Path, command: Run) -> None:
    left = write_tokens(tmp_path / "synthetic-a.csv", 0.02, 0.5)
    right = tmp_path / "synthetic-b.csv"
    right.write_text(left.read_text().replace("STALL_BACKEND_MEM", "L2D_CACHE_REFILL"))
    found = json.loads(command(compare.main, left, right, "--json")[1])["alone"]
    assert [(entry["capture"], entry["what"]) for entry in found] == [
        ("A", "event STALL_BACKEND_MEM"),
        ("B", "event L2D_CACHE_REFILL"),
    ]
    assert "only in A: event STALL_BACKEND_MEM" in command(compare.main, left, right)[1]


def test_a_page_for_compare(tmp_path: Path, command: Run) -> None:
    """Cards say what changed; bars of A and B and of the differences add up to the times that they show."""
    left = load(_with(tmp_path / "synthetic-a.csv", [Part("gemv", 4e-4), Part("rope", 3e-5)]))
    right = load(_with(tmp_path / "synthetic-b.csv", [Part("gemv", 5e-4), Part("barrier", 1e-4)]))
    report = compare_report.of_comparison(left, right, changes.compare(left, right), True)
    prompt, token = report.cards
    assert prompt.verdict == "too few steps to say whether it changed" and prompt.hue == palette.OTHER
    assert token.verdict == "39.5 % more time a token" and token.hue == palette.WAITING
    assert "mostly gemv" in token.why and "95 % interval " in token.why
    section = report.sections[-1]
    stacks, differences = (block for block in section.blocks if isinstance(block, Bars))
    speed = next(c for c in changes.compare(left, right).changes if c.phase == "decode" and c.kind == "speed")
    assert [bar.total for bar in stacks.bars] == pytest.approx([1e3 * speed.left, 1e3 * speed.right])
    assert [bar.label for bar in differences.bars] == ["gemv", "barrier", "rope", "all together"]
    *steps, whole = differences.bars
    assert (whole.start, whole.total) == (0.0, pytest.approx(1e3 * speed.difference))
    assert [bar.start for bar in steps] == [0.0, *(bar.end for bar in steps[:-1])]  # each begins where the last ended
    assert steps[-1].end == pytest.approx(whole.total) and steps[-1].total < 0
    assert "only in B" in differences.bars[1].note
    page, picture = tmp_path / "page.html", tmp_path / "picture.png"
    status, _, err = command(compare.main, left.path, right.path, "--html", page, "--plot", picture)
    assert (status, err) == (0, "")
    assert picture.read_bytes().startswith(PNG)
    assert [row[0] for row in report.picture[-2:]] == [stacks, differences]  # the waterfall is in the picture too
    times = next(
        table for table in Page(page.read_text()).tables if table[1][0] == "gemv" and table[-1][-1] != "no interval"
    )
    assert [row[0] for row in times[1:]] == ["gemv", "barrier", "rope", "all together"]


def test_less_time_is_no_warning(tmp_path: Path) -> None:
    left = load(write_tokens(tmp_path / "synthetic-a.csv", 0.024, 0.5))
    right = load(write_tokens(tmp_path / "synthetic-b.csv", 0.020, 0.5))
    (card,) = compare_report.of_comparison(left, right, changes.compare(left, right), False).cards
    assert (card.verdict, card.hue) == ("16.7 % less time a token", palette.BETTER)
    (same,) = compare_report.of_comparison(left, left, changes.compare(left, left), False).cards
    assert same.verdict == "no change beyond noise" and "mostly" not in same.why


def test_pages_are_never_written_over_a_capture(tmp_path: Path, command: Run) -> None:
    path = write_tokens(tmp_path / "synthetic.csv", 0.02, 0.5)
    status, _, err = command(compare.main, path, path, "--html", path)
    assert status == 1 and "is the file of the capture" in err


def test_of_many_phases_the_first_are_compared(
    per_op: Path, tmp_path: Path, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = per_op / "synthetic-t1-p64.csv", per_op / "synthetic-t2-p64.csv"
    n_phases = len(json.loads(command(compare.main, one, two, "--json")[1])["verdicts"])
    monkeypatch.setattr(changes, "MOST_WITH_OPERATIONS", 1)
    result = json.loads(command(compare.main, one, two, "--json")[1])
    assert (len(result["verdicts"]), result["left_out"]) == (1, n_phases - 1)
    told = f"left out: {n_phases - 1} more phase"
    assert told in " ".join(command(compare.main, one, two)[1].split())
    assert told in " ".join(command(compare.main, one, two, two)[1].split())


def test_a_picture_has_the_first_phases(per_op: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = (load(per_op / f"synthetic-t{n}-p64.csv") for n in (1, 2))
    result = changes.compare(left, right)
    n_phases = len(result.verdicts)
    monkeypatch.setattr(compare_charts, "MOST_IN_PICTURE", 1)
    report = compare_report.of_comparison(left, right, result, False)
    assert len(report.picture) == 2
    assert report.picture[-1][0].title.endswith(f"(the first 1 of {n_phases} phases)")
