"""`analysis.sweep` end to end: text, page and picture of synthetic results, exit status 3 on a regression."""

from __future__ import annotations

import html
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis_commands import PNG, Run
from pages import visit, with_script
from swept import setup, synthetic_plan, write_results

from analysis import sweep
from analysis.reports import drawing, svg, sweep_charts, sweep_report
from analysis.reports.charts import Box, Boxes, Heat
from analysis.reports.model import Report
from analysis.sweep_results import Times, read

AXES = {"threads": [1, 2, 4], "prompt": [16, 64]}


def write(path: Path, slower: float = 1.0, seed: int = 1, axes: dict[str, Any] | None = None, blocks: int = 6) -> Path:
    """A token takes 0.1 s divided by the threads; of 64 tokens half of it is not shared."""
    generator = np.random.default_rng(seed)

    def times(combination: Any, block: int, place: float) -> list[float]:
        threads = combination.number("threads") or 1
        share = 0.5 if combination["prompt"] == 64 else 1.0
        seconds = slower * 0.1 * (1 - share + share / threads)
        return [seconds * (1 + 0.005 * generator.normal()) for _ in range(3)]

    return write_results(path, synthetic_plan(axes or AXES, blocks=blocks), times)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("swept") / "synthetic.sqlite")


def test_text_page_and_picture(results: Path, command: Run, tmp_path: Path) -> None:
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    status, out, err = command(sweep.main, results, "--html", page, "--plot", picture)
    assert (status, err) == (0, "")
    assert "fastest: threads 4, prompt 16" in out and "6 setups in 6 blocks" in out
    assert picture.read_bytes().startswith(PNG)
    said = page.read_text()
    assert 'class="filtered"' in said and "speed-up" in said and "http:" not in said and "https:" not in said


USER = """
const field = document.querySelector("input.filter"), out = {};
field.value = "16 -synthetic-word"; field.dispatchEvent(new Event("input"));
out.rows = [...document.querySelector("table.filtered").tBodies[0].rows].filter(row => !row.hidden)
  .map(row => row.cells[1].textContent);
const seen = [...document.querySelectorAll(".mark:not(.out)")].map(mark => mark.dataset.tip);
out.boxes = seen.filter(tip => tip.includes("samples")).length;
out.wrong = seen.filter(tip => tip.includes("prompt 64")).length;
field.value = "nothing-has-this"; field.dispatchEvent(new Event("input"));
out.figures = [...document.querySelectorAll("figure")].filter(figure => !figure.hidden).length;
field.value = ""; field.dispatchEvent(new Event("input"));
out.all = [...document.querySelectorAll("figure")].filter(figure => figure.hidden).length;
document.title = JSON.stringify(out);
"""


def test_a_filter_reaches_the_pictures(command: Run, tmp_path: Path) -> None:
    several = write(tmp_path / "several", axes={"threads": [1, 2, 4], "prompt": [16, 32, 64]})
    page = tmp_path / "a.html"
    assert command(sweep.main, several, "--html", page)[0] == 0
    page.write_text(with_script(page.read_text(), USER))
    dom, console = visit(page, tmp_path / "profile", 1400)
    out = json.loads(html.unescape(dom.split("<title>")[1].split("</title>")[0]))
    assert out["rows"] == 3 * ["16"] and out["boxes"] == 2 * 3 and out["wrong"] == 0
    assert (out["figures"], out["all"], console) == (0, 0, [])


def test_numbers_as_json(results: Path, command: Run) -> None:
    found = json.loads(command(sweep.main, results, "--json")[1])
    setups = {(each["threads"], each["prompt"]): each for each in found["phases"]["prefill"]["setups"]}
    assert setups[4, 16]["s_per_token"] == pytest.approx(0.025, rel=0.01)
    assert setups[4, 64]["interval"][0] < 0.0625 < setups[4, 64]["interval"][1]
    assert len(found["phases"]["prefill"]["pairs"]) == 15 and len(setups[1, 16]["by_block"]) == 6
    assert found["against"] is None and found["runs"] == {"done": 36}


def test_a_regression_is_an_exit_status(results: Path, command: Run, tmp_path: Path) -> None:
    assert command(sweep.main, results, "--against", write(tmp_path / "same", seed=2))[0] == 0
    status, out, _ = command(sweep.main, write(tmp_path / "slower", 1.05, seed=3), "--against", results)
    assert status == sweep.REGRESSION == 3 and "6 shown to be slower" in out
    status, out, _ = command(sweep.main, results, "--against", tmp_path / "slower", "--json")
    assert status == 0 and {change["verdict"] for change in json.loads(out)["against"]} == {"faster"}


def test_what_is_wrong_is_one_line(results: Path, command: Run, tmp_path: Path) -> None:
    other = write(tmp_path / "other", axes={"threads": [8]})
    for words, message in (
        ([tmp_path / "nowhere"], "no such file"),
        ([results, "--against", other], "has no setup in common"),
        ([results, "--html", results], "is the file of the results"),
    ):
        status, out, err = command(sweep.main, *words)
        assert (status, out) == (1, "") and message in err and len(err.splitlines()) == 1
    failed = write_results(tmp_path / "failed", synthetic_plan({"threads": [1]}), lambda *_: [])
    assert "holds no run that has a result" in command(sweep.main, failed)[2]
    damaged = tmp_path / "damaged"
    damaged.write_bytes(results.read_bytes())
    with sqlite3.connect(damaged) as base:
        base.execute("DROP TABLE samples")
    assert "cannot be read: no such table" in command(sweep.main, damaged)[2]


def test_charts_have_the_known_answers(results: Path) -> None:
    times = read(results).times["prefill"]
    (gains,) = sweep_charts.speed_ups(times)
    ideal, short, long = gains.series
    assert ideal.points == ((1.0, 1.0), (2.0, 2.0), (4.0, 4.0))
    assert [y for _, y in short.points] == pytest.approx([1, 2, 4], rel=0.02)
    assert [y for _, y in long.points] == pytest.approx([1, 4 / 3, 1.6], rel=0.02)
    (heat,) = sweep_charts.heats(times)
    assert (heat.x, heat.columns, heat.y, heat.rows) == ("threads", ("1", "2", "4"), "prompt", ("16", "64"))
    assert heat.values[0][2] == pytest.approx(40, rel=0.02) and heat.shade(heat.values[0][2] or 0) == 1
    boxes = sweep_charts.spread(times)
    assert len(boxes.boxes) == 6 and list(boxes.boxes[0].values) == sorted(boxes.boxes[0].values)
    assert [plot.title for plot in sweep_charts.speeds(times)] == [
        "prefill: speed over threads",
        "prefill: speed over prompt",
    ]
    assert sweep_charts.front(times) is None


def test_the_front_has_what_nothing_beats() -> None:
    points = {0: (10.0, 5.0), 1: (20.0, 9.0), 2: (20.0, 8.0), 3: (30.0, 9.0), 4: (5.0, 1.0), 5: (12.0, 4.0)}
    assert sweep_charts.on_front(points) == {4, 0, 1}
    setups = [setup(kind, size, type=kind) for kind, size in (("q4_0", 80), ("q8_0", 150))]
    seconds = np.array([[0.1] * 6, [0.2] * 6])
    plot = sweep_charts.front(Times("decode", setups, seconds, [[0.1], [0.2]], [1, 1]))
    assert plot is not None and [series.name for series in plot.series] == ["", "on the front", "beaten in both"]


def test_one_setup_and_few_blocks_are_said(tmp_path: Path) -> None:
    report = sweep_report.of_sweep(read(write(tmp_path / "one", axes={"threads": [1]}, blocks=2)))
    assert report.cards[0].verdict == "one setup" and "no interval" in report.cards[0].why
    assert "2 blocks: intervals need 6" in str(report.sections[0].blocks[0])


def test_runs_that_are_missing_are_said(tmp_path: Path) -> None:
    plan = synthetic_plan({"threads": [1, 2]}, blocks=6)
    path = write_results(tmp_path / "a", plan, lambda combination, block, place: [] if block == 2 else [0.1])
    report = sweep_report.of_sweep(read(path))
    assert "2 runs have no result" in report.warnings and "2 × synthetic" in report.details


@pytest.mark.parametrize("values", [(1.0, 2.0, 3.0, 4.0, 500.0), (1.0, 1.0, 1.0, 1.0, 1.0)])
def test_boxes_have_an_axis_of_their_size(values: tuple[float, ...]) -> None:

    boxes = Boxes("synthetic", "tokens/s", (Box("one", values, "blue", "tip", "note"),))  # type: ignore[arg-type]
    low, high = boxes.range
    assert low < values[0] and high > values[-1] and boxes.log is (values[-1] > 30) and boxes.ticks
    heat = Heat("synthetic", "tokens/s", "threads", "prompt", ("1",), ("2", "3"), ((1.0,), (None,)), "blue")
    assert heat.shade(1.0) == 0.5
    for chart in (boxes, heat):
        assert svg.figure(chart).count("<svg") == 2
    report = Report("synthetic", "boxes", [], [], [], [], picture=[[boxes], [heat]])
    assert drawing.picture(report).startswith(PNG)
