"""The two pictures of a capture (`reports.pictures`), and what they fall back to."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import synthetic_captures as captures
from analysis_commands import HEADER, PNG, TOKEN
from judged_phases import N2, phase, stalls
from synthetic_captures import decode

from analysis.judging import Capture, load
from analysis.reports import pictures


def drawn(svg: bytes) -> str:
    """The texts of a picture: matplotlib writes each as a comment beside its outlines."""
    return svg.decode()


def test_pictures_fall_back_from_stalls_to_time(counted: Capture, timed: Capture) -> None:
    cycles, time = pictures.stack_of(counted), pictures.stack_of(timed)
    assert cycles is not None and time is not None
    assert (cycles.of, time.of) == ("cycles", "time")
    shares = time.shares(timed.judged()[1], timed.judged()[1])
    assert shares is not None and sum(shares) == pytest.approx(100, abs=0.1)
    assert pictures.stalls(counted).startswith(PNG)
    ElementTree.fromstring(pictures.timeline(timed, "svg"))


def test_a_capture_of_nothing_but_times_is_drawn_without_shares(tmp_path: Path) -> None:
    capture = load(captures.write_capture(tmp_path / "synthetic.csv", decode(8, 0.02, {}), HEADER))
    assert pictures.stack_of(capture) is None
    assert "stalls not measured" in drawn(pictures.stalls(capture, "svg"))
    assert "no stalls and no instruction classes were counted" in drawn(pictures.timeline(capture, "svg"))


def test_instruction_classes_where_no_stalls_were_counted(tmp_path: Path) -> None:
    counts = {"INST_SPEC": 1e8, "ASE_SPEC": 4e7, "LD_SPEC": 3e7}
    capture = load(captures.write_capture(tmp_path / "synthetic.csv", decode(8, 0.02, counts), HEADER))
    stack = pictures.stack_of(capture)
    assert stack is not None and stack.of == "instructions"
    shares = stack.shares(capture.judged()[0], capture.judged()[0])
    assert shares is not None
    found = dict(zip((name for name, _ in stack.parts), shares, strict=True))
    assert found["Advanced SIMD"] == pytest.approx(40, rel=1e-3) and found["loads"] == pytest.approx(30, rel=1e-3)


@pytest.mark.parametrize(
    ("be", "m", "fe", "expected"),
    [
        (0.6, 0.5, 0.1, [30.0, 30.0, 10.0, 30.0]),
        (0.6, 1.2, 0.0, [60.0, 0.0, 0.0, 40.0]),  # memory stalls are at most the back end's
        (1.0, 0.0, 0.3, [0.0, 100.0, 30.0, 0.0]),  # the rest is never less than nothing
    ],
)
def test_shares_of_cycles(be: float, m: float, fe: float, expected: list[float]) -> None:
    (step, *_) = phase(**stalls(be, m, STALL_FRONTEND=fe)).steps
    assert pictures.shares_of(step, N2) == pytest.approx(expected)


def test_without_stalls_there_are_no_shares() -> None:
    assert pictures.shares_of(phase().steps[0], N2) is None
    assert pictures.shares_of(phase(STALL_BACKEND=1.5).steps[0], N2) is None  # more stalls than cycles


def test_an_emulators_clock_draws_no_lengths(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.csv"
    capture = load(captures.write_capture(path, decode(8, 0.02, TOKEN), HEADER | {"emulated": "yes"}))
    svg = drawn(pictures.timeline(capture, "svg"))
    assert "an emulator's clock tells no lengths" in svg and "(EMULATED)" in svg
