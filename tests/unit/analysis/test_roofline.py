"""`analysis.roofline` end to end, and its chart (`reports.roofline_chart`)."""

from __future__ import annotations

import re
from pathlib import Path

import synthetic_captures as captures
from analysis_commands import PNG, Run
from synthetic_captures import decode
from synthetic_cases import PEAK

from analysis import roofline
from analysis.judging import Capture, load
from analysis.reports import drawing, html, roofline_chart
from analysis.reports.charts import Kind, Plot


def test_roofline(per_op: Path, command: Run, tmp_path: Path) -> None:
    one = per_op / "synthetic-t2-p64.csv"
    for suffix, start in (("png", PNG), ("svg", b"<?xml")):
        target = tmp_path / f"roofline.{suffix}"
        status, out, err = command(roofline.main, one, "--plot", target, "--compute-peak", "100")
        assert (status, err) == (0, "")
        assert target.read_bytes().startswith(start)
    assert "gemm" in out
    # 2 x 4096 x 1024 operations a token in 4e-4 s, shared by two threads that scale
    gemm = next(line.split() for line in out.splitlines() if line.split()[:2] == ["prefill", "gemm"])
    assert "41.9" in gemm and "operations" in gemm
    # 1e8 refills of 64 bytes a second on each of two threads
    assert "12.8" in gemm


def test_roofs_end_where_the_axes_do(per_op: Path) -> None:
    capture = load(per_op / "synthetic-t2-p64.csv")
    plot = roofline_chart.of_points(capture, roofline_chart.points(capture), 100e9)
    slope, flat = (series for series in plot.series if series.kind is Kind.RULE)
    ends = [plot.ends(axis, which) for which, axis in enumerate((plot.x, plot.y))]
    for x, y in (*slope.points, *flat.points):
        assert ends[0][0] * 0.999 <= x <= ends[0][1] * 1.001 and ends[1][0] * 0.999 <= y <= ends[1][1] * 1.001
    assert [label for series in (slope, flat) for label in series.labels if label] == [
        f"read peak {PEAK:.1f} GB/s",
        "arithmetic peak 100 GOP/s",
    ]
    assert slope.points[-1][0] == flat.points[0][0] == 100 / PEAK
    phases = [series for series in plot.series if series.kind is Kind.DOTS]
    assert [(series.name, series.hue) for series in phases] == [("prefill", "blue"), ("decode", "green")]
    assert phases[0].tips[1].startswith("prefill, gemm: 41.9 GOP/s, 12.8 GB/s (bytes by L3D_CACHE_REFILL)")
    assert plot.remark == ""


def test_without_a_peak_the_picture_says_so_and_how_to_get_one(per_op: Path, tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    lines = (per_op / "synthetic-t2-p64.csv").read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "read_peak" not in line))
    report = roofline_chart.of_capture(load(path))
    ((plot,),) = report.picture
    assert isinstance(plot, Plot)
    assert "read peak was not measured" in plot.remark
    assert "q4engine run --capture" in plot.remark and "--read-peak GB/s" in plot.remark
    page, picture = html.render(report), drawing.picture(report, "svg").decode()
    assert "q4engine run --capture measures it" in " ".join(re.sub("<[^>]*>", " ", page).split())
    assert "no roof: the read peak was not measured" in picture
    assert not any(series.kind is Kind.RULE for series in plot.series)


def test_without_points_it_says_why(counted: Capture, tmp_path: Path) -> None:
    path = captures.write_capture(tmp_path / "synthetic.csv", decode(8, 0.02, {}), {"n_threads": 4})
    capture = load(path)
    plot = roofline_chart.of_points(capture, roofline_chart.points(capture))
    assert plot.empty.startswith("no phase has both work and bytes from memory counted; no roof: ")


def test_what_has_no_place_over_an_axis_is_not_drawn(per_op: Path) -> None:
    capture = load(per_op / "synthetic-t2-p64.csv")
    far = [roofline_chart.Point("a", "", 1.0, 1.0, work, "operations", 64.0, "") for work in (5e-324, 1e300)]
    assert roofline_chart.of_points(capture, far).empty
    near = roofline_chart.points(capture)
    assert roofline_chart.of_points(capture, [*near, *far]) == roofline_chart.of_points(capture, near)
