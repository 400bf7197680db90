"""What commands write: never over what they read, and every file that cannot be written is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import synthetic_captures as captures
from synthetic_captures import decode
from synthetic_cases import counts

from analysis import functions, roofline, scaling, stalls, timeline
from analysis.errors import AnalysisError

Main = Callable[[Sequence[str]], int]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    token = counts(0.02, be=0.6, m=0.5, fe=0.02, ipc=0.8, mix=0.5, l2=40, gbps=31)
    return captures.write_capture(tmp_path / "own.csv", decode(20, 0.02, token), {"n_threads": 4})


@pytest.mark.parametrize("main", [stalls.main, roofline.main, timeline.main, scaling.main])
@pytest.mark.parametrize("kind", ["itself", "symbolic", "hard"])
def test_a_capture_is_never_written_over(main: Main, kind: str, capture: Path) -> None:
    path = capture.with_name("own.png")
    if kind == "itself":
        path = capture = capture.rename(path)
    elif kind == "symbolic":
        path.symlink_to(capture)
    else:
        path.hardlink_to(capture)
    before = capture.read_bytes()
    with pytest.raises(AnalysisError, match=rf"--plot {path} is the file of the capture: give another"):
        main([str(capture), "--plot", str(path)])
    assert capture.read_bytes() == before


@pytest.mark.parametrize("option", ["--markers", "--model"])
def test_what_else_is_read_is_never_written_over(option: str, capture: Path) -> None:
    other = capture.with_name("other")
    other.write_text("time_ns,n_past,n_eval,phase\n")
    with pytest.raises(AnalysisError, match=f"is the file of {option}"):
        stalls.main([str(capture), option, str(other), "--html", str(other)])


def test_a_folder_of_captures(capture: Path) -> None:
    other = capture.with_name("b.csv")
    other.write_bytes(capture.read_bytes())
    link = capture.with_name("link.png")
    link.symlink_to(other)
    with pytest.raises(AnalysisError, match="is the file of the capture"):
        scaling.main([str(capture.parent), "--plot", str(link)])


def test_two_outputs_of_one_name(capture: Path) -> None:
    path = capture.with_name("page.png")
    with pytest.raises(AnalysisError, match="is the file of --plot"):
        stalls.main([str(capture), "--plot", str(path), "--html", str(path)])


def test_all_that_cannot_be_written_is_named(capture: Path) -> None:
    plot, page = capture.parent / "absent" / "a.png", capture.parent / "nowhere" / "b.html"
    with pytest.raises(AnalysisError) as caught:
        stalls.main([str(capture), "--plot", str(plot), "--html", str(page)])
    message = "cannot be written: No such file or directory"
    assert str(caught.value) == f"{plot}: {message}; {page}: {message}"


def test_samples_are_never_written_over(tmp_path: Path) -> None:
    samples = tmp_path / "script.txt"
    samples.write_text("q4engine  7  10.1:  250000 cpu-clock:  7f00 gemm+0x10 (/lib/x.so)\n")
    with pytest.raises(AnalysisError, match="is the file of the capture"):
        functions.main([str(samples), "--html", str(samples)])
