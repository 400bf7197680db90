"""What a capture tells without counters: shares of time, waiting, tensors, bytes of the model. All numbers made up."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import breakdown, calls, operations, stalls
from analysis.breakdown import Breakdown
from analysis.calls import Calls
from analysis.judging import Capture, Options, load
from analysis.reports import roofline_chart

HEADER = {
    "format_version": "1",
    "emulated": "no",
    "counters": "this machine offers none",
    "bytes_per_token": "6000",
    "kv_bytes_per_token": "100",
    "read_peak_gbps": "1",
    "slots": "8",
}
COLUMNS = "call,phase,n_past,n_eval,op,layer,tensor,type,shape,thread,start_ns,duration_ns"
QKV, DOWN = "blk.0.attn_q.weight+blk.0.attn_k.weight,Q4_0,64x64", "blk.0.ffn_down.weight,Q4_0,64x128"
# One token on two threads, 10 us: op, layer, tensor with type and shape, and nanoseconds on each thread.
CALL = (
    ("begin", "", ",,", 1000, 1000),
    ("quantize_activations", "0", ",,", 200, 100),
    ("barrier", "0", ",,", None, 100),
    ("gemv", "0", QKV, 1000, 1000),
    ("quantize_activations", "0", ",,", 300, 100),
    ("barrier", "0", ",,", None, 200),
    ("gemv", "0", DOWN, 2000, 3000),
    ("barrier", "0", ",,", 1000, None),
    ("end", "", ",,", 4500, 4500),
)


def write(path: Path, n_calls: int = 5, counts: str = "", **header: str) -> Path:
    """A capture of `n_calls` like CALL. counts: an emulator's event, one an operation's nanosecond."""
    keys = HEADER | header
    lines = ["# q4engine capture", *(f"# {key}: {value}" for key, value in keys.items())]
    lines.append(COLUMNS + (f",{counts}@emulated" if counts else ""))
    for call in range(n_calls):
        now = 20_000 * call
        rows = [f"{call},decode,{call},1,,,,,,,{now},10000" + (",20000" if counts else "")]
        for thread in (0, 1):
            at = now
            for op, layer, rest, *nanoseconds in CALL:
                lasted = nanoseconds[thread]
                if lasted is not None:
                    rows.append(f"{call},decode,{call},1,{op},{layer},{rest},{thread},{at},{lasted}")
                    rows[-1] += f",{lasted}" if counts else ""
                    at += lasted
        lines += rows
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return load(write(tmp_path / "synthetic.csv"))


def found(capture: Capture) -> Breakdown:
    result = breakdown.of_phase(capture.phases[0], capture.table)
    assert result is not None
    return result


def test_operations_and_waiting_add_up_to_the_calls(capture: Capture) -> None:
    parts = {part.name: part for part in found(capture).operations}
    assert {name: round(part.share, 6) for name, part in parts.items()} == {
        "end": 0.45, "gemv": 0.35, "begin": 0.1, "barrier": 0.065, "quantize_activations": 0.035,
    }  # fmt: skip
    assert list(parts) == ["end", "gemv", "begin", "barrier", "quantize_activations"]
    assert sum(part.share for part in parts.values()) == pytest.approx(1.0)
    assert parts["gemv"].amount == pytest.approx(3.5e-6)


def test_rates_are_until_the_slowest_thread_was_done(capture: Capture) -> None:
    gemv = next(part for part in found(capture).operations if part.name == "gemv")
    # 1 us and 3 us a call; 64 x 64 and 64 x 128 weights of 4.5 bits
    assert gemv.bandwidth == pytest.approx((64 * 64 + 64 * 128) * 4.5 / 8 / 4e-6)
    assert gemv.rate == pytest.approx(2 * (64 * 64 + 64 * 128) / 4e-6)
    assert gemv.source == "weights"


def test_pieces_of_one_layer_are_told_apart(capture: Capture) -> None:
    (quantize,) = [one for one in operations.of_calls(capture.table, [0]) if one.name == "quantize_activations"]
    assert quantize.pieces == 2
    assert quantize.elapsed == pytest.approx(500e-9)
    assert quantize.seconds == pytest.approx(350e-9)


def test_tensors(capture: Capture) -> None:
    tensors = found(capture).tensors
    assert [part.name for part in tensors] == ["ffn_down Q4_0 64x128", "attn_q+attn_k Q4_0 64x64"]
    assert [round(part.share, 6) for part in tensors] == [0.25, 0.1]


@pytest.mark.parametrize(
    ("tensor", "name"),
    [("blk.12.ffn_up.weight", "ffn_up"), ("token_embd.weight", "token_embd"), ("blk.x.y", "blk.x.y"), ("", "")],
)
def test_names_of_tensors(tensor: str, name: str) -> None:
    assert calls.tensor_name(tensor) == name


def test_bytes_that_the_model_asks_for(capture: Capture) -> None:
    traffic = breakdown.least_traffic(capture.phases[0])
    assert traffic is not None
    # positions 1 to 5 are read back: 3 on average
    assert traffic.per_call == pytest.approx(6000 + 300)
    assert traffic.rate == pytest.approx(6300 / 10e-6)
    assert traffic.of_peak == pytest.approx(0.63)


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("512:60", ((512, 60.0),)),
        ("512:60, 24:40", ((512, 60.0), (24, 40.0))),
        ("512:60,24:41", ()),  # more than the layers have
        ("0:60", ()),
        ("512", ()),
        ("-1:5,512:x,:,9999999999:1", ()),
    ],
)
def test_windows_of_the_header(tmp_path: Path, text: str, windows: tuple[tuple[int, float], ...]) -> None:
    (phase,) = load(write(tmp_path / "synthetic.csv", kv_windows=text)).phases
    assert phase.context.kv_windows == windows


def test_steps_set_aside_are_no_part_of_the_roofline(tmp_path: Path) -> None:
    path = write(tmp_path / "synthetic.csv")
    # the fourth call took twice as long, on threads that moved
    text = path.read_text().replace("3,decode,3,1,,,,,,,60000,10000", "3,decode,3,1,,,,,,,60000,20000")
    text = text.replace(COLUMNS, f"{COLUMNS},migrations").replace(",60000,20000", ",60000,20000,2")
    lines = [line + ("," if line[0].isdigit() and line.count(",") == 11 else "") for line in text.splitlines()]
    path.write_text("\n".join(lines) + "\n")
    capture = load(path)
    assert [step.n_past for step in capture.phases[0].evidence.steps] == [0, 1, 2, 4]
    whole, *parts = roofline_chart.points(capture)
    gemv = next(part for part in parts if part.operation == "gemv")
    assert whole.work == gemv.work == 4 * 2 * (64 * 64 + 64 * 128)
    assert whole.bytes_read == 4 * 6000
    assert whole.rate == pytest.approx(whole.work / 40e-6)
    assert gemv.share == pytest.approx(0.35)


def test_steps(capture: Capture) -> None:
    assert breakdown.step_seconds(capture.phases[0]) == pytest.approx((10e-6, 10e-6, 10e-6))


def test_too_few_steps(tmp_path: Path) -> None:
    assert breakdown.step_seconds(load(write(tmp_path / "synthetic.csv", n_calls=2)).phases[0]) is None


def test_report_without_counters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "synthetic.csv")
    assert stalls.main([str(path)]) == 0
    out = capsys.readouterr().out
    assert "counters:  none: this machine offers none; stalls, roofline and top-down are not measured" in out
    assert "0.0 MB a token make 0.63 GB/s, 63.0 % of the read peak; indicative" in out
    assert re.search(r"gemv +35\.0 % +0\.003500 +1\.73 +6\.144  weights\n", out)
    assert re.search(r"barrier +6\.5 % +0\.000650 +waiting for other threads\n", out)
    assert re.search(r"by tensor .*\n +ffn_down Q4_0 64x128 +25\.0 %", out)
    assert "=> waiting-bound (confidence: medium)" in out
    assert out.count("not measured") == 1


def test_the_same_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stalls.main([str(write(tmp_path / "synthetic.csv")), "--json"])
    (phase,) = json.loads(capsys.readouterr().out)["captures"][0]["phases"]
    assert phase["least_traffic"]["of_peak"] == pytest.approx(0.63)
    assert phase["breakdown"]["of"] == "time"
    assert phase["breakdown"]["tensors"][0]["name"] == "ffn_down Q4_0 64x128"


def test_more_than_the_read_peak_is_withheld(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path / "synthetic.csv"))
    stalls.main([path, "--read-peak", "0.5"])  # 126 % of it would have been read
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "make 0.63 GB/s, more than the read peak, which so was not this run's: the share is withheld; indicative" in out
    )
    assert "% of the read peak" not in out
    stalls.main([path, "--read-peak", "0.5", "--json"])
    (phase,) = json.loads(capsys.readouterr().out)["captures"][0]["phases"]
    assert phase["least_traffic"]["of_peak"] is None and phase["least_traffic"]["bytes_per_s"] == pytest.approx(0.63e9)


def test_emulated_captures_go_by_instructions(tmp_path: Path) -> None:
    capture = load(write(tmp_path / "synthetic.csv", emulated="yes", counts="INST_RETIRED"))
    result = found(capture)
    assert not result.of_time
    gemv = next(part for part in result.operations if part.name == "gemv")
    assert gemv.share == pytest.approx(7000 / 20000)
    assert gemv.amount == pytest.approx(7000)
    assert gemv.bandwidth != gemv.bandwidth  # unknown: the emulator's time is not the machine's
    assert gemv.rate != gemv.rate
    assert breakdown.least_traffic(capture.phases[0]) is None


def test_captures_of_calls_alone_have_no_breakdown(tmp_path: Path) -> None:
    path = write(tmp_path / "synthetic.csv")
    lines = path.read_text().splitlines()
    calls = [line for line in lines if line.startswith(("#", "call")) or ",1,,,,,,," in line]
    path.write_text("\n".join(calls) + "\n")
    capture = load(path)
    assert len(capture.phases[0].phase.steps) == 5
    assert breakdown.of_phase(capture.phases[0], capture.table) is None


@pytest.mark.parametrize(
    ("header", "slots"),
    [
        ("8", 8),
        ("armv8_big=6,armv8_little=2", None),
        ("0", None),
        ("65", None),
        ("-8", None),
        ("1e1", None),
        ("", None),
    ],
)
def test_slots_of_the_header(header: str, slots: int | None, tmp_path: Path) -> None:
    assert load(write(tmp_path / "synthetic.csv", slots=header)).phases[0].context.slots == slots


def test_slots_of_each_pmu(tmp_path: Path) -> None:
    path = write(tmp_path / "synthetic.csv", slots="armv8_big=6,armv8_little=2")
    text = path.read_text().replace(
        "# slots", "# group.a: pmu=armv8_big events=CPU_CYCLES\n# group.b: pmu=armv8_little events=CPU_CYCLES\n# slots"
    )
    text = text.replace(COLUMNS, f"{COLUMNS},CPU_CYCLES@a,CPU_CYCLES@b")
    path.write_text(re.sub(r"^(\d.*)$", r"\1,10,20", text, flags=re.MULTILINE))
    assert {one.phase.pmu: one.context.slots for one in load(path).phases} == {"armv8_big": 6, "armv8_little": 2}
    assert load(path, Options(slots=9)).phases[0].context.slots == 9


def test_the_smallest_of_many_tensors_are_one(capture: Capture) -> None:
    """Names that no two rows share: each would take its own look at all rows."""
    calls = capture.table.calls
    assert calls is not None
    names = [f"t{n}" if name else "" for n, name in enumerate(calls.rows["tensor"])]
    table = replace(capture.table, calls=Calls(calls.rows.assign(tensor=names)))
    every = operations.tensors_of_calls(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "MOST_TENSORS", 3)
        some = operations.tensors_of_calls(table)
    assert len(every) > 4 and len(some) == 4 and operations.OTHERS in [part.name for part in some]
    assert sum(part.seconds for part in some) == pytest.approx(sum(part.seconds for part in every))
    assert {part.name for part in every[:3]} <= {part.name for part in some}
