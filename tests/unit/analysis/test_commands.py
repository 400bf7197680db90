"""The commands end to end: what they print and write, exit codes, and one clear line for whatever cannot be read."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import synthetic_captures as captures
from synthetic_captures import Part, decode, prefill
from synthetic_cases import PEAK, counts

from analysis import compare, functions, roofline, scaling, stalls, timeline
from analysis.command_line import run

REPO = Path(__file__).resolve().parents[3]
PNG = b"\x89PNG\r\n\x1a\n"
PROMPT = counts(0.9, be=0.2, m=0.1, fe=0.03, ipc=2.0, mix=0.7, l2=1.0, gbps=2)
TOKEN = counts(0.02, be=0.6, m=0.5, fe=0.02, ipc=0.8, mix=0.5, l2=40, gbps=31)
HEADER = {"midr": "0x410fd493", "read_peak_gbps": PEAK, "bytes_per_token": 600e6, "n_threads": 4}
PARTS = (
    Part("gemm", 4e-4, "4096x1024"),
    Part("attention", 5e-5),
    Part("rms_norm", 1e-5, scales=False),
)

Main = Callable[[Sequence[str]], int]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capture")
    calls = [*prefill(512, 0.9, PROMPT, batches=2), *decode(20, 0.02, TOKEN)]
    return captures.write_capture(folder / "synthetic.csv", calls, HEADER)


@pytest.fixture(scope="module")
def per_op(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("per-op")
    for threads in (1, 2):
        for prompt in (16, 32, 64, 128, 256, 512):
            path = folder / f"synthetic-t{threads}-p{prompt}.csv"
            rates = {"INST_RETIRED": 2e9, "L3D_CACHE_REFILL": 1e8}
            captures.write_per_op(
                path, PARTS, threads=threads, prompt=prompt, n_decode=12, header=HEADER, counts_per_second=rates
            )
            path.write_text(path.read_text().replace("n_threads: 4", f"n_threads: {threads}"))
    return folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(main: Main, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        try:
            status = run(main)
        except SystemExit as stop:
            status = int(stop.code or 0)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


def _spawn(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", f"analysis.{module}", *map(str, arguments)]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120)


def test_stalls_as_a_process(capture: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "stalls.png", tmp_path / "page.html"]
    done = _spawn("stalls", capture, "--plot", outputs[0], "--html", outputs[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.index("prefill") < done.stdout.index("=> compute-bound") < done.stdout.index("=> memory-bound")
    assert "margin" in done.stdout
    assert outputs[0].read_bytes().startswith(PNG)
    assert "<!doctype html>" in outputs[1].read_text()
    assert _spawn("stalls", capture, "--plot", tmp_path / "stalls.svg").returncode == 0
    assert (tmp_path / "stalls.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize("module", [roofline, timeline, compare, functions, scaling])
def test_help_of_the_other_commands(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    assert f"python -m {module.__name__}" in capsys.readouterr().out


def test_another_command_as_a_process(capture: Path) -> None:
    done = _spawn("timeline", capture)
    assert (done.returncode, done.stderr) == (0, "")
    assert "decode" in done.stdout


def test_stalls_json(capture: Path, command: Run) -> None:
    status, out, err = command(stalls.main, capture, "--json")
    assert (status, err) == (0, "")
    (found,) = json.loads(out)["captures"]
    prompt, tokens = found["phases"]
    assert [prompt["verdict"]["outcome"], tokens["verdict"]["outcome"]] == ["compute-bound", "memory-bound"]
    assert prompt["core"] == "neoverse-n2-r0p3"
    memory = next(check for check in tokens["rules"][0]["checks"] if check["key"] == "m")
    assert (memory["value"], memory["threshold"]) == (pytest.approx(0.5), 0.4)
    assert memory["margin"] == pytest.approx(0.1)
    assert tokens["metrics"]["ipc"]["value"] == pytest.approx(0.8)
    assert tokens["metrics"]["sve"] == {
        "value": None,
        "reason": "not measured: SVE_INST_SPEC (not in the capture)",
        "events": ["SVE_INST_SPEC", "INST_SPEC"],
        "running": None,
        "counted_together": True,
        "unit": "share",
        "interval": None,
    }
    assert len(tokens["steps"]) == 20
    assert {step["outcome"] for step in tokens["steps"]} == {"memory-bound"}


def test_set_aside_steps_and_costly_captures_are_named(tmp_path: Path, command: Run) -> None:
    calls = [replace(call, migrations=int(call.n_past == 515)) for call in decode(10, 0.02, TOKEN)]
    path = captures.write_capture(tmp_path / "synthetic.csv", calls, HEADER | {"observer_cost_percent": 2.1})
    (found,) = json.loads(command(stalls.main, path, "--json")[1])["captures"]
    assert any("counting cost 2.1 %" in note for note in found["notes"])
    (phase,) = found["phases"]
    assert [step["n_past"] for step in phase["steps"] if step["set_aside"]] == [515]
    assert any("1 of 10 steps changed CPU" in reason for reason in phase["verdict"]["reasons"])


def test_command_line_comes_before_the_header(capture: Path, command: Run) -> None:
    _, out, _ = command(stalls.main, capture, "--json", "--core", "cortex-a76", "--read-peak", "100")
    phases = json.loads(out)["captures"][0]["phases"]
    assert {phase["core"] for phase in phases} == {"cortex-a76"}
    assert {phase["read_peak_bytes_per_s"] for phase in phases} == {100e9}


def test_stalls_of_a_folder(per_op: Path, command: Run) -> None:
    status, out, err = command(stalls.main, per_op, "--group-by", "core,threads")
    assert (status, err) == (0, "")
    rows = [re.split(" {2,}", line) for line in out.splitlines()]
    assert rows[0][:4] == ["core", "threads", "phase", "captures"]
    assert [row[1:4] for row in rows[1:]] == [[n, kind, "6"] for n in "12" for kind in ("decode", "prefill")]
    pattern = per_op / "synthetic-t1-*.csv"
    assert len(json.loads(command(stalls.main, pattern, "--json")[1])["captures"]) == 6


def test_roofline(per_op: Path, command: Run, tmp_path: Path) -> None:
    one = per_op / "synthetic-t2-p64.csv"
    for suffix, start in (("png", PNG), ("svg", b"<?xml")):
        target = tmp_path / f"roofline.{suffix}"
        status, out, err = command(roofline.main, one, "--plot", target, "--compute-peak", "100")
        assert (status, err) == (0, "")
        assert target.read_bytes().startswith(start)
    assert "gemm" in out
    # 2 x 4096 x 1024 operations a token in 4e-4 s, shared by two threads that scale
    assert "41.9 GOP/s" in out
    # 1e8 refills of 64 bytes a second on each of two threads
    assert "12.80" in out


def test_timeline(capture: Path, command: Run, tmp_path: Path) -> None:
    status, out, err = command(timeline.main, capture, "--plot", tmp_path / "timeline.png")
    assert (status, err) == (0, "")
    assert (tmp_path / "timeline.png").read_bytes().startswith(PNG)
    lines = out.splitlines()[2:]
    assert len(lines) == 22
    assert lines[2].split()[:3] == ["decode", "512", "1"]


def test_pictures_repeat(capture: Path, command: Run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        command(stalls.main, capture, "--plot", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_scaling(per_op: Path, command: Run, tmp_path: Path) -> None:
    status, out, err = command(scaling.main, per_op, "--plot", tmp_path / "scaling.png", "--json")
    assert (status, err) == (0, "")
    assert (tmp_path / "scaling.png").read_bytes().startswith(PNG)
    found = json.loads(out)["combinations"]
    assert [(c["kind"], c["threads"], c["prompt"]) for c in found] == [
        (kind, threads, prompt)
        for kind in ("prefill", "decode")
        for threads in (1, 2)
        for prompt in (16, 32, 64, 128, 256, 512)
    ]
    # 450 us of a token scale, 10 us do not
    for entry in found:
        assert entry["speed_up"] == pytest.approx(460 / (450 / entry["threads"] + 10), rel=1e-3)
        share = 400 / entry["threads"] / (450 / entry["threads"] + 10)
        assert entry["components"]["gemm"]["share"] == pytest.approx(share, rel=1e-3)


def test_scaling_knows_decode_by_its_calls(per_op: Path, command: Run, tmp_path: Path) -> None:
    text = (per_op / "synthetic-t1-p64.csv").read_text()
    text = text.replace(",prefill,", ",x,").replace(",decode,", ",prefill,").replace(",x,", ",decode,")
    (tmp_path / "synthetic-swapped.csv").write_text(text)
    out = command(scaling.main, tmp_path / "synthetic-swapped.csv", "--json")[1]
    assert [(c["kind"], len(c["steps"])) for c in json.loads(out)["combinations"]] == [("prefill", 1), ("decode", 12)]


def _write_tokens(path: Path, seconds: float, share: float) -> Path:
    token = counts(seconds, be=0.6, m=share)
    return captures.write_capture(path, decode(40, seconds, token), HEADER | {"kernels": path.stem})


def test_compare(tmp_path: Path, command: Run) -> None:
    left = _write_tokens(tmp_path / "synthetic-a.csv", 0.020, 0.5)
    right = _write_tokens(tmp_path / "synthetic-b.csv", 0.024, 0.5)
    status, out, err = command(compare.main, left, right, "--json")
    assert (status, err) == (0, "")
    result = json.loads(out)
    changes = {change["name"]: change for change in result["changes"]}
    assert changes["time per token"]["relative"] == pytest.approx(0.2)
    assert changes["time per token"]["changed"] is True
    assert changes["memory stalls / back-end stalls"]["changed"] is False
    assert result["settings"] == [{"key": "kernels", "left": "synthetic-a", "right": "synthetic-b"}]
    status, out, _ = command(compare.main, left, right)
    assert "kernels: synthetic-a -> synthetic-b" in out
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
    assert "66.67 %  gemm_q4_0  (native.so)" in shown and "\nprefill, by cpu-clock, 3 samples\n" in shown
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


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "binary": bytes(range(256)) * 64,
    "NUL": b"# q4engine capture\n# format_version: 1\0\n",
    "UTF-16": "# q4engine capture\n".encode("utf-16"),
    "Latin-1": "1,,cycles:\xe9,1,100.00,,\n".encode("latin-1"),
    "one long line": b"x" * 10_000_000,
    "prose": b"It was the best of times.\n",
    "absurd numbers": b"1e999,,cycles,1,100.00,,\n",
    "truncated capture": b"# q4engine capture\n# format_version: 1\ncall,n_past,n_eval,op,start_ns,duration_ns\n",
    "future capture": b"# q4engine capture\n# format_version: 99\ncall\n",
}


@pytest.mark.parametrize("name", list(HOSTILE))
@pytest.mark.parametrize("main", [stalls.main, functions.main], ids=["stalls", "functions"])
def test_hostile_files_get_one_line(main: Main, name: str, tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic-hostile.csv"
    path.write_bytes(HOSTILE[name])
    status, out, err = command(main, path)
    assert (status, out) == (1, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert str(path) in err
    assert len(err) < 1000


def test_missing_files_and_folders(tmp_path: Path, command: Run) -> None:
    for target in (tmp_path / "absent.csv", tmp_path, tmp_path / "absent-*.csv"):
        status, out, err = command(stalls.main, target)
        assert (status, out, err.count("\n")) == (1, "", 1), target


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file(capture: Path, tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic-unreadable.csv"
    path.write_bytes(capture.read_bytes())
    path.chmod(0)
    status, _, err = command(stalls.main, path)
    assert (status, err.count("\n")) == (1, 1)


def test_outputs_that_cannot_be_written(capture: Path, tmp_path: Path, command: Run) -> None:
    for option, target in (("--plot", tmp_path / "no" / "a.png"), ("--html", tmp_path)):
        status, _, err = command(stalls.main, capture, option, target)
        assert status == 1 and "cannot be written" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--core", "no-such-core"],
        ["--core", "neoverse-n2"],
        ["--read-peak", "-1"],
        ["--read-peak", "nan"],
        ["--slots", "0"],
        ["--slots", "1e1"],
        ["--straddle", "maybe"],
        ["--format", "nothing"],
        ["--read-peak", "1e300"],
        ["--read-peak", "1_0"],
        ["--offset", "inf"],
        ["--offset", ""],
        ["--markers", ""],
        ["--model", ""],
        ["--plot", ""],
        ["--plot", "picture.pdf"],
        ["--html", ""],
        [""],
        ["--group-by", ","],
        ["--frobnicate"],
    ],
)
def test_usage_errors(arguments: list[str], capture: Path, command: Run) -> None:
    status, out, err = command(stalls.main, *([capture] if arguments else []), *arguments)
    assert (status, out) == (2, "")
    assert "usage:" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (functions.main, ["--top", "0"]),
        (functions.main, ["--top", "-1"]),
        (functions.main, ["--top", "9" * 5000]),
        (functions.main, ["--offset", "nan"]),
        (functions.main, ["--markers", ""]),
        (roofline.main, ["--compute-peak", "0"]),
        (roofline.main, ["--compute-peak", "inf"]),
        (timeline.main, ["--plot", "a.gif"]),
        (scaling.main, ["--plot", "a.gif"]),
        (compare.main, [""]),
    ],
)
def test_usage_errors_of_others(main: Main, arguments: list[str], capture: Path, command: Run) -> None:
    status, out, err = command(main, capture, *arguments)
    assert (status, out) == (2, "")
    assert "usage:" in err and len(err.splitlines()[-1]) < 300


def test_lenient_skips_and_counts(capture: Path, tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic-malformed.csv"
    path.write_text(capture.read_text() + "21,decode,oops\n")
    status, _, err = command(stalls.main, path)
    assert status == 1 and "line" in err
    status, out, _ = command(stalls.main, path, "--lenient")
    assert status == 0
    assert "note:" in out and "=> memory-bound" in out


def test_model_file_gives_bytes_per_token(capture: Path, tmp_path: Path, command: Run) -> None:
    (tmp_path / "no.gguf").write_bytes(b"not a model")
    status, _, err = command(stalls.main, capture, "--model", tmp_path / "no.gguf")
    assert status == 1 and "GGUF" in err


def test_emulated_is_said_everywhere(tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic-emulated.csv"
    header = {"emulated": "yes", "arch": "aarch64"}
    rates = {"INST_RETIRED": 1e9, "ASE_SPEC": 5e8, "LD_SPEC": 2e8, "INST_SPEC": 1e9, "L3D_CACHE_REFILL": 1e6}
    captures.write_per_op(path, PARTS, threads=1, prompt=32, n_decode=4, header=header, counts_per_second=rates)
    page = tmp_path / "page.html"
    status, out, _ = command(stalls.main, path, "--html", page)
    assert status == 0 and "EMULATED" in out and "=> not measured" in out
    assert "EMULATED" in page.read_text()
    for main in (roofline.main, timeline.main):
        status, out, _ = command(main, path, "--plot", tmp_path / "picture.png")
        assert status == 0 and "EMULATED" in out
    measured = _write_tokens(tmp_path / "synthetic-measured.csv", 0.02, 0.5)
    assert "WARNING" in command(compare.main, path, measured)[1]


def test_a_closed_pipe_is_quiet(capture: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m analysis.stalls {capture} --json | head -c 10"
    done = subprocess.run(["sh", "-c", command], cwd=REPO, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("name", ["stalls", "roofline", "timeline", "compare", "scaling", "functions"])
def test_help_that_cannot_be_written(name: str, unbuffered: str) -> None:
    command = [sys.executable, "-W", "error", "-m", f"analysis.{name}", "--help"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, cwd=REPO, stdout=full, stderr=subprocess.PIPE, env=environment, text=True, timeout=120
        )
    assert (done.returncode, done.stderr) == (1, "error: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written(capture: Path, unbuffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "analysis.stalls", str(capture)],
            cwd=REPO, stdout=full, stderr=subprocess.PIPE, env=environment, text=True, timeout=120,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "error: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_standard_stream(capture: Path, closed: int) -> None:
    command = f"{shlex.quote(sys.executable)} -m analysis.stalls {capture} {closed}>&-"
    done = subprocess.run(["sh", "-c", command], cwd=REPO, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr, bool(done.stdout)) == (0, "", closed == 2)


def test_pandas_that_is_missing_is_one_line(capture: Path) -> None:
    command = [sys.executable, "-S", "-m", "analysis.stalls", str(capture)]  # -S: no installed packages
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: pandas is missing") and len(done.stderr.splitlines()) == 1


def test_the_documented_examples_can_be_made(tmp_path: Path) -> None:
    script = REPO / "docs" / "examples" / "make.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stderr) == (0, "")
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in script.parent.glob("*.png")}
    assert "=> compute-bound" in done.stdout and "=> memory-bound" in done.stdout
