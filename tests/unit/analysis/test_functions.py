"""`analysis.functions` end to end: samples and functions, cut by markers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from analysis_commands import Run

from analysis import functions

PERF_SCRIPT = """\
# synthetic
 q4 engine  7/8  [001]  10.100000:  250000 cpu-clock:  7f00 gemm_q4_0+0x10 (/lib/native.so)
q4engine  7  10.200000:  250000 cpu-clock:  7f00 gemm_q4_0+0x18 (/lib/native.so)
q4engine  7  10.300000:  250000 cpu-clock:  7f00 rms_norm+0x18 (/lib/native.so)
q4engine  7  11.100000:  250000 cpu-clock:
\t7f10 gemv_q4_0+0x4 (/lib/native.so)
\t7f20 walk+0x4 (/lib/native.so)

q4engine  7  11.200000:  750000 cpu-clock:
\tffff0 [unknown] ([kernel.kallsyms])

q4engine  7  13.000000:  250000 cpu-clock:  7f00 outside+0x18 (/lib/native.so)
"""

MARKERS = "time_ns,n_past,n_eval,phase\n10000000000,0,8,prefill\n11000000000,8,1,decode\n12000000000,9,0,\n"


def test_functions_of_perf_script(tmp_path: Path, command: Run) -> None:
    (tmp_path / "synthetic-script.txt").write_text(PERF_SCRIPT)
    (tmp_path / "markers.csv").write_text(MARKERS)
    arguments = (functions.main, tmp_path / "synthetic-script.txt", "--markers", tmp_path / "markers.csv")
    status, out, err = command(*arguments, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert [(f["phase"], f["symbol"], round(f["share"], 4)) for f in found["functions"]] == [
        ("prefill", "gemm_q4_0", 0.6667),
        ("prefill", "rms_norm", 0.3333),
        ("decode", "[unknown]", 0.75),
        ("decode", "gemv_q4_0", 0.25),
    ]
    named = "samples of q4engine 5, q4 engine 1; --comm NAME takes those of one name"
    assert found["notes"] == [named, "1 of 6 samples lie outside every phase"]
    assert [f["samples"] for f in found["functions"]] == [2, 1, 1, 1]
    shown = command(*arguments)[1]
    assert "prefill  66.7 % in gemm_q4_0: by cpu-clock, then rms_norm 33.3 %, 3 samples" in shown
    (row,) = (line.split() for line in shown.splitlines() if "gemm_q4_0" in line and "native.so" in line)
    assert row == ["gemm_q4_0", "66.67", "%", "2", "native.so"] and "\nprefill, by cpu-clock, 3 samples\n" in shown
    status, _, err = command(*arguments, "--offset", "1000")
    assert status == 1 and "--offset" in err


@pytest.mark.parametrize(
    ("frame", "symbol", "image"),
    [
        ("7f00 ns::f(int, (anonymous)::x (*)())+0x10 (/lib/a b.so)", "ns::f(int, (anonymous)::x (*)())", "/lib/a b.so"),
        ("7f00 operator() (int)+0x1 (/lib/x.so (deleted))", "operator() (int)", "/lib/x.so (deleted)"),
        ("7f00 [unknown] (/memfd:jit (deleted))", "[unknown]", "/memfd:jit (deleted)"),
        ("7f00 q4_dot (inlined)", "q4_dot", "inlined"),
        ("7f00 q4_dot+0x4", "q4_dot", ""),
        ("7f00 q4_dot", "q4_dot", ""),
        ("7f00 (/lib/x.so)", "[unknown]", "/lib/x.so"),
        ("7f00", "[unknown]", ""),
    ],
)
def test_frames_of_perf_script(tmp_path: Path, command: Run, frame: str, symbol: str, image: str) -> None:
    path = tmp_path / "synthetic-script.txt"
    path.write_text(f"q4engine  7  10.1:  250000 cpu-clock: \n\t  {frame}\n\t  7f10 caller+0x1 (/lib/y.so)\n\n")
    status, out, _ = command(functions.main, path, "--json")
    (found,) = json.loads(out)["functions"]
    assert (status, found["symbol"], found["image"], found["share"]) == (0, symbol, image, 1.0)


def test_functions_of_several_programs(tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic-script.txt"
    others = "swapper  0 [000]  10.1:  250000 cpu-clock:  7f00 idle+0x10 ([kernel.kallsyms])\n" * 3
    others += ":-1    -1 [001]  10.2:     250000 task-clock: \n\tffff0 idle+0x1 ([kernel.kallsyms])\n"  # it has ended
    path.write_text(PERF_SCRIPT.replace(" q4 engine", "q4engine") + others)
    notes = json.loads(command(functions.main, path, "--json")[1])["notes"]
    assert notes[0] == "samples of q4engine 6, swapper 3, :-1 1; --comm NAME takes those of one name"
    found = json.loads(command(functions.main, path, "--json", "--comm", "q4engine")[1])
    assert "idle" not in {f["symbol"] for f in found["functions"]} and len(found["notes"]) == 1
    status, _, err = command(functions.main, path, "--comm", "nobody")
    assert status == 1 and "no samples of threads called 'nobody'; there are q4engine 6, swapper 3, :-1 1" in err


@pytest.mark.parametrize("bad", ["what is this?", "x" * 5000, "\tzzz gemm+0x1 (/lib/x.so)"])
def test_lines_that_are_not_perf_scripts(tmp_path: Path, command: Run, bad: str) -> None:
    path = tmp_path / "synthetic-script.txt"
    path.write_text(PERF_SCRIPT + bad + "\n" + PERF_SCRIPT)
    status, out, err = command(functions.main, path)
    assert (status, out) == (1, "") and f"line {PERF_SCRIPT.count(chr(10)) + 1}: " in err and len(err) < 400
    found = json.loads(command(functions.main, path, "--json", "--lenient")[1])
    assert "1 line(s) skipped, which are not perf script's; the first is line 13" in found["notes"]
    assert sum(f["samples"] for f in found["functions"]) == 12


def test_functions_of_many_generations(tmp_path: Path, command: Run) -> None:
    """A chat: each turn is a prompt and some tokens; every sample is found in its own turn."""
    markers, samples = ["time_ns,n_past,n_eval,phase"], []
    for turn in range(50):
        start = 100 + turn
        markers += [f"{start}000000000,0,8,prefill", f"{start}500000000,8,1,decode", f"{start}600000000,9,0,"]
        samples += [f"q 7 {start}.{at}:  1 cpu-clock:  7f00 f{turn}+0x1 (/x)" for at in (1, 55, 7)]
    (tmp_path / "markers.csv").write_text("\n".join(markers) + "\n")
    (tmp_path / "script.txt").write_text("\n".join(samples) + "\n")
    arguments = (functions.main, tmp_path / "script.txt", "--markers", tmp_path / "markers.csv", "--json")
    found = json.loads(command(*arguments)[1])
    assert found["notes"] == ["50 of 150 samples lie outside every phase"]
    expected = [(f"{kind} #{turn + 1}", f"f{turn}", 1) for turn in range(50) for kind in ("prefill", "decode")]
    assert [(f["phase"], f["symbol"], f["samples"]) for f in found["functions"]] == expected


def test_functions_of_streamline(tmp_path: Path, command: Run) -> None:
    head = '"Periodic Samples: Periodic Samples","Counters: Cycles: CPU Cycles",uid,image,symbol,inlined from'
    (tmp_path / "functions-synthetic.csv").write_text(f"{head}\n30,3e+09,1,lib,gemm\n10,1e+09,2,lib,rms_norm,\n")
    status, out, err = command(functions.main, tmp_path / "functions-synthetic.csv", "--json")
    assert (status, err) == (0, "")
    shares = {(f["event"], f["symbol"]): f["share"] for f in json.loads(out)["functions"]}
    assert shares["samples", "gemm"] == 0.75
    assert shares["CPU_CYCLES", "rms_norm"] == 0.25


def test_lines_that_are_no_frames(tmp_path: Path, command: Run) -> None:
    """`-F +srcline,+insn` and `--show-task-events` print them between."""
    path = tmp_path / "synthetic-script.txt"
    path.write_text(
        "ls 7 [002] 1.000000: PERF_RECORD_COMM exec: ls:7/7\n"
        "ls 7 [002] 1.100000: 250000 cpu-clock:u: \n"
        "\t 7f00 leaf+0x10 (/usr/lib/x.so)\n  leaf.c:15 (discriminator 2)\n"
        "\t 7f10 caller+0x1 (/usr/lib/x.so)\n  x.so[634]\n\n"
        "ls 7/8 [002] 1.200000: 250000 cpu-clock:u:  7f00 leaf+0x10 (/usr/lib/x.so) insn: e5 03 1f aa\n"
        "ls 7 [002] d... 1.300000: 250000 cpu-clock:u:\n\t 7f00 leaf+0x10 (/usr/lib/x.so)\n\t insn: e5 03\n"
        "ls 7 [002] 1.400000: PERF_RECORD_EXIT(7:7):(1:1)\n"
    )
    status, out, err = command(functions.main, path, "--json")
    assert (status, err) == (0, "")
    assert [(f["symbol"], f["samples"], f["share"]) for f in json.loads(out)["functions"]] == [("leaf", 3, 1.0)]


def test_what_holds_counts_goes_to_stalls(tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic.csv"
    path.write_text("5,,cycles,100,100.00,,\n")
    status, _, err = command(functions.main, path)
    assert status == 1 and "python -m analysis.stalls" in err
