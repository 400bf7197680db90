"""Markers from hits of a probe (`markers`): what a step is, its tokens, where it ends. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis_commands import Run
from capture_tables import written

from analysis import functions, markers
from analysis.readers.markers_file import read_markers

HEAD = "llama-cli  41 [001] {:.6f}: "
HIT = HEAD + "probe_llama:llama_decode: (55d0c0) n_tokens={}\n"
RETURN = HEAD + "probe_llama:llama_decode__return: (55d0c0 <- 55d1f0)\n"
SCRIPT = "# captured on: a day\n" + "".join(
    HIT.format(time, n) + RETURN.format(time + 0.5) + "\n" for time, n in ((10.0, 7), (11.0, 1), (12.0, 1))
)


def found(path: Path) -> list[tuple[float, int, int, str | None]]:
    return [(one.time_s, one.n_past, one.n_eval, one.label) for one in read_markers(path)]


STEPS = [(10.0, 0, 7, "prefill"), (11.0, 7, 1, "decode"), (12.0, 8, 1, "decode"), (12.5, 9, 0, "end")]


def test_each_hit_begins_a_step(tmp_path: Path, command: Run) -> None:
    script, output = written(tmp_path, SCRIPT, "script.txt"), tmp_path / "markers.csv"
    assert command(markers.main, script, "--output", output) == (0, "", "")
    assert found(output) == STEPS
    assert command(markers.main, script)[1] == output.read_text()


def test_a_step_without_an_argument_is_a_token(tmp_path: Path, command: Run) -> None:
    """Of USDT events as of probes; the last one ends with the last hit of any event."""
    text = "engine 7/8 [000] 1.5: sdt_engine:token: (7f00)\nengine 7/8 [000] 2.5: sdt_engine:token: (7f00)\n"
    text += "other 9 [000] 2.75: sched:sched_switch: prev=engine\n"
    script = written(tmp_path, text, "script.txt")
    status, out, err = command(markers.main, script, "--event", "sdt_engine:token")
    assert status == 0
    assert out.splitlines()[1:] == ["1500000000,0,1,decode", "2500000000,1,1,decode", "2750000000,2,0,end"]
    assert "no argument tells a step's tokens" in err and "it ends with the file's last hit" in err


def test_another_argument_and_another_thread(tmp_path: Path, command: Run) -> None:
    text = SCRIPT.replace("n_tokens=", "rows=0x") + "server 2 [000] 10.5: probe_llama:llama_decode: (55) rows=9\n"
    script = written(tmp_path, text, "script.txt")
    out = command(markers.main, script, "--tokens", "rows", "--comm", "llama-cli")[1]
    assert [line.split(",")[1:] for line in out.splitlines()[1:]] == [[str(p), str(n), w] for _, p, n, w in STEPS]


def test_call_chains_are_passed_over(tmp_path: Path, command: Run) -> None:
    script = written(tmp_path, SCRIPT.replace("n_tokens=7\n", "n_tokens=7\n\t55d0c0 llama_decode+0x0 (/x)\n"), "s.txt")
    assert len(command(markers.main, script)[1].splitlines()) == 5


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (SCRIPT + HEAD.format(13.0) + "probe_llama:other: (5)\n", [], "several events, say which with --event; it has"),
        (SCRIPT, ["--event", "x"], "no such event; it has probe_llama:llama_decode 3"),
        (SCRIPT, ["--comm", "x"], "no such event; it has none"),
        (SCRIPT, ["--tokens", "rows"], "a hit of probe_llama:llama_decode has no argument rows"),
        ("no perf script\n", [], "line 1: expected a line of perf script, found 'no perf script'"),
    ],
)
def test_what_cannot_be_told_is_one_line(
    tmp_path: Path, command: Run, text: str, options: list[str], message: str
) -> None:
    status, out, err = command(markers.main, written(tmp_path, text, "script.txt"), *options)
    assert (status, out) == (1, "") and message in err and err.count("\n") == 1


def test_it_never_writes_over_what_it_reads(tmp_path: Path, command: Run) -> None:
    script = written(tmp_path, SCRIPT, "script.txt")
    status, _, err = command(markers.main, script, "--output", script)
    assert status == 1 and "is the file of perf script" in err and script.read_text() == SCRIPT


def test_they_cut_samples_into_phases(tmp_path: Path, command: Run) -> None:
    output = tmp_path / "markers.csv"
    command(markers.main, written(tmp_path, SCRIPT, "script.txt"), "--output", output)
    line = "llama-cli  41  {:.3f}:  250 cycles:  7f00 {}+0x18 (/lib/x.so)\n"
    samples = written(tmp_path, line.format(10.1, "gemm") + line.format(11.1, "gemv"), "samples.txt")
    out = command(functions.main, samples, "--markers", output)[1]
    assert "prefill, by CPU_CYCLES, 1 sample\n" in out and "decode, by CPU_CYCLES, 1 sample\n" in out
