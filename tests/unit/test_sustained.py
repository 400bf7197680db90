"""Endurance from made-up speeds and fake trees of sysfs: what is called throttling, since when, and by what."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from cli_runs import Cli

from q4engine.bench import sustained_report
from q4engine.bench.sustained import MOST, Reading, Sample, as_data, interval_of, judge, read_machine, sustain
from q4engine.cli import sustaining


def run_of(
    rate: Callable[[int], float], reading: Callable[[int], Reading] = lambda at: Reading(), n: int = 100
) -> list[Sample]:
    return [Sample(float(at), at + 1.0, rate(at), reading(at)) for at in range(n)]


def falling(at: int) -> float:
    """100 tokens a second, from second 40 on 80."""
    return 100.0 if at < 40 else 80.0


COOL, HOT = Reading(2000.0, 50.0, 3, 0, 1.0), Reading(1500.0, 90.0, 3, 0, 1.0)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (HOT, "the clock fell from 2000 to 1500 MHz, at 90 °C"),
        (Reading(2000.0, 95.0, 8, 0, 1.0), "the CPUs counted 5 throttlings, at 95 °C"),
        (Reading(None, None, None, 2, 1.0), "the kernel's cooling rose to step 2"),
        (Reading(2000.0, 50.0, 3, 0, 0.75), "no more than 75% of the highest clock is allowed, at 50 °C"),
    ],
)
def test_throttling_is_named_with_what_tells_of_it(after: Reading, told: str) -> None:
    found = judge(run_of(falling, lambda at: COOL if at < 40 else after))
    assert found is not None and found.throttled is True and found.since == 40.0
    assert found.text == f"throttled from second 40 on, 100.00 to 80.00 tokens/s (-20.0 %): {told}"
    assert (found.first, found.last, found.change) == (100.0, 80.0, pytest.approx(-0.2))


def test_slower_without_a_reason_is_not_called_throttling() -> None:
    found = judge(run_of(falling, lambda at: COOL))
    assert found is not None and found.throttled is None
    assert found.text.endswith("the clock did not fall, and nothing tells of throttling, at 50 °C")
    unknown = judge(run_of(falling))
    assert unknown is not None and unknown.text.endswith(": the machine tells no clock")
    busy = judge(run_of(falling, lambda at: COOL), others_percent=80.0)
    assert busy is not None and busy.throttled is False and busy.text.endswith("others used 80 % of a CPU meanwhile")


@pytest.mark.parametrize(("last", "fell"), [(96.0, False), (94.0, True)])
def test_the_threshold(last: float, fell: bool) -> None:
    found = judge(run_of(lambda at: 100.0 if at < 50 else last, lambda at: COOL if at < 50 else HOT))
    assert found is not None and bool(found.throttled) is fell
    assert fell or found.text.startswith("steady, 100.00 to 96.00 tokens/s (-4.0 %), though the clock fell")


def test_single_slow_samples_are_no_fall() -> None:
    found = judge(run_of(lambda at: 10.0 if at in (20, 60, 99) else 100.0))
    assert found is not None and found.since is None and found.text == "steady, 100.00 to 100.00 tokens/s (+0.0 %)"
    recovered = judge(run_of(lambda at: 50.0 if 30 <= at < 60 or at >= 80 else 100.0))
    assert recovered is not None and recovered.since == 80.0


def test_a_short_run_tells_nothing() -> None:
    assert judge([]) is None and judge(run_of(falling, n=3)) is None
    assert judge(run_of(falling, n=4)) is not None


# ---- measuring -------------------------------------------------------------------------------------------------------


def test_samples_cover_the_time_without_a_gap() -> None:
    """A step of a quarter of a second, on a clock that it moves."""
    now, steps, samples = [7.0], [], list[Sample]()

    def step() -> int:
        steps.append(now[0])
        now[0] += 0.25
        return 3

    sustain(step, lambda: COOL, 10.0, samples, clock=lambda: now[0])
    assert [sample.start for sample in samples] == [float(at) for at in range(10)]
    assert all(before.end == after.start for before, after in pairwise(samples))
    assert {sample.rate for sample in samples} == {12.0} and len(steps) == 40
    assert samples[0].reading is COOL and samples[0].watts is None


def test_long_runs_have_longer_samples_and_slow_models_their_own() -> None:
    assert interval_of(60) == 1.0 and interval_of(86400) == 86400 / MOST
    now, samples = [0.0], list[Sample]()

    def step() -> int:
        now[0] += 3.0
        return 1

    sustain(step, Reading, 7.0, samples, clock=lambda: now[0])
    assert [(sample.start, sample.end) for sample in samples] == [(0.0, 3.0), (3.0, 6.0), (6.0, 9.0)]


def test_what_was_measured_before_an_interruption_is_there() -> None:
    samples, now = list[Sample](), [0.0]

    def step() -> int:
        now[0] += 0.5
        if now[0] > 5:
            raise KeyboardInterrupt
        return 1

    with pytest.raises(KeyboardInterrupt):
        sustain(step, Reading, 60.0, samples, clock=lambda: now[0])
    assert len(samples) == 5


# ---- the machine -----------------------------------------------------------------------------------------------------


def test_a_machine_that_tells_all(tmp_path: Path) -> None:
    files: dict[str, object] = {
        "class/thermal/thermal_zone0/temp": 51000,
        "class/thermal/thermal_zone1/temp": 78500,
        "class/thermal/thermal_zone2/temp": "N/A",
        "class/thermal/cooling_device0/type": "cpufreq-cpu0",
        "class/thermal/cooling_device0/cur_state": 2,
        "class/thermal/cooling_device1/type": "pwm-fan",
        "class/thermal/cooling_device1/cur_state": 4,
    }
    for cpu, mhz in enumerate((600, 600, 1800, 2400)):
        folder = f"devices/system/cpu/cpu{cpu}"
        files |= {
            f"{folder}/cpufreq/scaling_cur_freq": 1000 * mhz,
            f"{folder}/cpufreq/scaling_max_freq": 1500000,
            f"{folder}/cpufreq/cpuinfo_max_freq": 2000000 if cpu < 2 else 3000000,
            f"{folder}/thermal_throttle/core_throttle_count": cpu,
        }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    assert read_machine(2, tmp_path) == Reading(2100.0, 78.5, 6, 2, 0.75)
    assert read_machine(16, tmp_path).mhz == 1350.0


def test_a_machine_that_tells_little(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\ncpu MHz\t\t: 2900.5\nprocessor\t: 1\ncpu MHz\t\t: 3100.5\n")
    assert read_machine(2, tmp_path, tmp_path / "cpuinfo") == Reading(3000.5)
    assert read_machine(2, tmp_path, tmp_path / "absent") == Reading()


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_the_table_has_a_dozen_lines_of_what_is_known() -> None:
    lines = sustained_report.table(run_of(falling, lambda at: Reading(mhz=2000.0 if at < 40 else 1500.0), n=120))
    assert lines[0].split("|")[1:-1] == ["   seconds ", "  tokens/s ", "       MHz "]
    assert len(lines) == 2 + 12
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["0–10", "100.00", "2000"]
    assert [cell.strip() for cell in lines[-1].split("|")[1:-1]] == ["110–120", "80.00", "1500"]
    assert len(sustained_report.table(run_of(falling, n=1))) == 3


def test_rows_and_data() -> None:
    samples = run_of(falling, lambda at: HOT, n=5)
    rows = sustained_report.csv_lines(samples)
    assert rows[1] == "0,1,100,1500,90,3,0,1," and len(rows) == 6
    assert {row.count(",") for row in rows} == {8}
    data = json.loads(json.dumps(as_data(samples, judge(samples))))
    assert data["samples"][0]["mhz"] == 1500.0 and data["verdict"]["change"] == 0.0
    assert as_data([], None) == {"verdict": None, "samples": []}


def test_the_command(q4: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is made up; speeds are whatever they are."""
    monkeypatch.setattr("q4engine.bench.sustained.read_machine", lambda n: COOL)
    monkeypatch.setattr(sustaining, "_CONTEXT", 16)  # so that it begins anew on the way
    ticks = iter(range(10**9))
    monkeypatch.setattr(sustain, "__defaults__", (None, lambda: next(ticks) / 10))
    words = ["bench", tiny, "-t", 1, "--sustain", 20]
    shown = q4(*words, "--plot", tmp_path / "plot.svg")
    assert shown.code == 0 and shown.out.startswith("|   seconds |  tokens/s |       MHz |        °C |")
    assert "\n\nsteady, " in shown.out and (tmp_path / "plot.svg").read_text().rstrip().endswith("</svg>")
    assert len(json.loads(q4(*words, "-o", "json").out)["samples"]) >= 15
    rows = q4(*words, "-o", "csv")
    assert rows.out.startswith("start_s,") and rows.err.startswith("steady, ")


@pytest.mark.parametrize(
    "words",
    [
        ["--sustain", "0"], ["--sustain", "9", "-p", "4"], ["--sustain", "9", "-t", "1,2"], ["--plot", "a.svg"],
        ["--sustain", "9", "--plot", "a.pdf"], ["--sustain", "9", "other.gguf"], ["--sustain", "9", "-r", "3"],
        ["--sustain", "9", "--plot", "absent/a.svg"],
    ],
)  # fmt: skip
def test_mistakes(q4: Cli, tiny: Path, words: list[str]) -> None:
    assert q4("bench", tiny, *words).code == 2


def test_a_picture_in_the_place_of_the_model(q4: Cli, tmp_path: Path) -> None:
    (tmp_path / "model.svg").touch()
    refused = q4("bench", tmp_path / "model.svg", "--sustain", 9, "--plot", tmp_path / "model.svg")
    assert refused.code == 2 and "is the file of the model" in refused.err
