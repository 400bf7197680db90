"""Emulated captures: projected times from counts alone, and nothing of the emulator's clock in any output."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import synthetic_captures as captures
from analysis_commands import HEADER, Run
from synthetic_captures import Part

from analysis import compare, projection, roofline, scaling, stalls, timeline
from analysis.judging import load
from analysis.projection import COMPUTE, MEMORY, Assumed

RATES = {"INST_RETIRED": 2e9, "LD_SPEC": 3e8}
PARTS = (Part("gemm", 4e-4, "4096x1024"), Part("attention", 5e-5))


@pytest.fixture
def emulated(tmp_path: Path) -> Path:
    header = HEADER | {"emulated": "yes", "arch": "aarch64"}
    path = tmp_path / "synthetic-emulated.csv"
    return captures.write_per_op(path, PARTS, threads=2, prompt=16, n_decode=12, header=header, counts_per_second=RATES)


def test_each_operation_takes_the_longer_of_bytes_and_work(emulated: Path) -> None:
    capture = load(emulated)
    prompt, tokens = (projection.of_phase(phase, capture.table, Assumed(40e9, 200e9)) for phase in capture.judged())
    assert prompt is not None and tokens is not None
    weights = 4096 * 1024
    (part,) = tokens.parts
    assert (part.name, part.limit, part.source) == ("gemm", MEMORY, "weights")
    assert part.seconds == pytest.approx(weights * 4.5 / 8 / 40e9)
    assert prompt.parts[0].limit == COMPUTE and prompt.parts[0].seconds == pytest.approx(2 * weights / 200e9)
    assert tokens.left_out == ["attention"] and tokens.seconds == part.seconds


def test_it_is_marked_as_a_projection_everywhere(emulated: Path, tmp_path: Path, command: Run) -> None:
    page = tmp_path / "page.html"
    status, out, _ = command(stalls.main, emulated, "--assume", "40,200", "--html", page)
    assert status == 0 and out.count("PROJECTION, not measured") == 2 and "40 GB/s and 200 GOP/s" in out
    assert page.read_text().count("PROJECTION, not measured") == 2
    found = json.loads(command(stalls.main, emulated, "--assume", "40,200", "--json")[1])["captures"][0]["phases"]
    assert [phase["projection"]["operations"][0]["limit"] for phase in found] == [COMPUTE, MEMORY]


def test_measured_captures_are_not_projected(tmp_path: Path, command: Run) -> None:
    path = captures.write_per_op(tmp_path / "synthetic.csv", PARTS, threads=1, prompt=4, n_decode=2, header=HEADER)
    status, _, err = command(stalls.main, path, "--assume", "40,200")
    assert status == 1 and "for emulated captures" in err


@pytest.mark.parametrize("given", ["40", "40,", ",200", "0,1", "a,b", "1,-2"])
def test_usage(given: str, emulated: Path, command: Run) -> None:
    assert command(stalls.main, emulated, "--assume", given)[0] == 2


@pytest.mark.parametrize("main", [stalls.main, timeline.main, roofline.main], ids=["stalls", "timeline", "roofline"])
def test_no_figure_of_the_emulators_clock(main: Callable[..., int], emulated: Path, command: Run) -> None:
    """The same counts on a clock that runs a thousand times slower print the same."""
    slow = emulated.with_name("synthetic-emulated-slow.csv")
    lines = emulated.read_text().splitlines()
    columns = next(line for line in lines if line.startswith("call,")).split(",")
    at = [columns.index(name) for name in ("start_ns", "duration_ns")]
    rows = [line.split(",") for line in lines]
    for row in rows:
        if row[0].isdigit():
            for column in at:
                row[column] = str(1000 * int(row[column]))
    slow.write_text("\n".join(",".join(row) for row in rows) + "\n")
    shown = [command(main, path)[1].replace(path.name, "") for path in (emulated, slow)]
    assert shown[0] == shown[1]
    assert not re.search(r"\d (ms|s)\b", shown[0])


def test_an_emulators_speed_is_neither_compared_nor_scaled(emulated: Path, command: Run) -> None:
    status, _, err = command(scaling.main, emulated)
    assert status == 1 and "tells no speed" in err
    found = json.loads(command(compare.main, emulated, emulated, "--json")[1])
    assert {change["kind"] for change in found["changes"]} == {"event"}
