"""Samples of `perf script` (`perf_script`): headers, frames and what stands between. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import written

from analysis.errors import AnalysisError
from analysis.perf_script import Sample, looks_like, read
from analysis.readers.source import Source

LINE = "q4engine  7  10.200000:  250 cycles:  7f00 gemm+0x18 (/lib/x.so)\n"


def samples(folder: Path, text: str, lenient: bool = False) -> list[Sample]:
    return read(Source(written(folder, text, "script.txt"), lenient))[0]


@pytest.mark.parametrize(
    ("head", "comm", "period", "event"),
    [
        ("q4engine  7  10.5:  250 cycles: ", "q4engine", 250.0, "CPU_CYCLES"),
        (" q4 engine  7/8  [001]  10.5:  250 cycles:u: ", "q4 engine", 250.0, "CPU_CYCLES"),
        ("q4engine  7 [002] d...  10.5:  250 cpu-clock: ", "q4engine", 250.0, "cpu-clock"),
        ("q4engine  7  10.5:  cycles: ", "q4engine", 1.0, "CPU_CYCLES"),
        (":-1  -1 [000]  10.5:  3 r24: ", ":-1", 3.0, "STALL_BACKEND"),
    ],
)
def test_headers(tmp_path: Path, head: str, comm: str, period: float, event: str) -> None:
    found = Sample(10.5, event, period, "gemm", "/lib/x.so", comm)
    assert samples(tmp_path, f"{head} 7f00 gemm+0x18 (/lib/x.so)\n") == [found]
    found = found._replace(callers=(("caller", "/lib/y.so"), ("main", "")))
    chain = "\t 7f00 gemm+0x18 (/lib/x.so)\n\t 7f10 caller+0x1 (/lib/y.so)\n\t 7f20 main\n"
    assert samples(tmp_path, f"{head}\n{chain}") == [found]


def test_a_sample_without_a_frame_is_a_sample(tmp_path: Path) -> None:
    """Nothing below the header: before a blank line, another header, a record, the end of the file."""
    head = "q4engine  7  {}.0:  250 cycles: \n"
    text = head.format(1) + "\n" + head.format(2) + head.format(3)
    text += "q4engine 7 [000] 4.0: PERF_RECORD_COMM: q4engine:7/7\n" + LINE + head.format(5)
    found = samples(tmp_path, text)
    assert [(one.time_s, one.symbol) for one in found] == [(1, ""), (2, ""), (3, ""), (10.2, "gemm"), (5, "")]


def test_frames_belong_to_the_header_above(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"line 2: expected a sample of perf script, found '\\t7f10 caller"):
        samples(tmp_path, LINE + "\t7f10 caller+0x1 (/lib/y.so)\n")


@pytest.mark.parametrize(
    ("head", "is_it"),
    [
        (["# captured on: today", LINE], True),
        (["5,,cycles,100,100.00,,"], False),
        (["# " + LINE], False),
        (["7  10.2:  250 cycles:"], False),  # nobody's
        (["q4engine x  10.2:  250 cycles:"], False),  # no pid
        ([""], False),
        ([], False),
    ],
)
def test_what_looks_like_it(head: list[str], is_it: bool) -> None:
    assert looks_like(head) is is_it


def test_lines_of_others(tmp_path: Path) -> None:
    text = LINE + "words\n" + LINE + "x" * 5000 + "\n"
    with pytest.raises(AnalysisError, match=r"line 2: .* found 'words' \(--lenient skips such lines\)"):
        samples(tmp_path, text)
    with pytest.raises(AnalysisError, match="line 2: a line of 5000 characters"):
        samples(tmp_path, LINE + "x" * 5000 + "\n")
    found, notes = read(Source(written(tmp_path, text, "script.txt"), lenient=True))
    assert len(found) == 2
    assert notes == ["2 line(s) skipped, which are not perf script's; the first is line 2"]


def test_leniency_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.perf_script.MOST_SKIPPED", 2)
    assert len(samples(tmp_path, LINE + "words\n" * 2, lenient=True)) == 1
    with pytest.raises(AnalysisError, match="more than 2 lines are not perf script's, the first is line 2"):
        samples(tmp_path, LINE + "words\n" * 3, lenient=True)


def test_events_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.perf_script.MOST_EVENTS", 2)
    other, third = LINE.replace("cycles", "instructions"), LINE.replace("cycles", "own")
    assert len(samples(tmp_path, LINE + other + LINE)) == 3
    with pytest.raises(AnalysisError, match="more than 2 events"):
        samples(tmp_path, LINE + other + third)


def test_functions_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.perf_script.MOST_FUNCTIONS", 2)
    names = [f"one 1 [0] {at}.0: 5 cycles: ffff f{at}+0x1 (x)\n" for at in range(3)]
    assert len(samples(tmp_path, "".join(names[:2] * 2))) == 4
    with pytest.raises(AnalysisError, match="samples of more than 2 functions"):
        samples(tmp_path, "".join(names))


def test_no_samples(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no samples of perf script in it"):
        samples(tmp_path, "# captured on: today\n")


def test_branches_behind_a_frame(tmp_path: Path) -> None:
    line = "x 1 10.000001:  7 cycles: ffff9a10 dot+0x10 (/x.so)  0xffff9a00/0xffff9a10/P/-/-/0 0xff/0xfe/P/-/-/0\n"
    assert [(one.symbol, one.image) for one in samples(tmp_path, line)] == [("dot", "/x.so")]


def test_many_blank_lines_between_samples(tmp_path: Path) -> None:
    head, frame = "x 1 10.000001:  7 cycles: \n", "\tffff9a10 dot+0x10 (/x.so)\n"
    assert [one.symbol for one in samples(tmp_path, (head + frame + "\n" * 5000) * 2)] == ["dot", "dot"]
    with pytest.raises(AnalysisError, match="line 5003"):
        samples(tmp_path, head + frame + "\n" * 5000 + frame)
