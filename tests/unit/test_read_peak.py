"""The read peak: measured outside of calls, within its time, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_runs import read_capture

from q4engine import _native
from q4engine.cli import main
from q4engine.engine import Engine
from q4engine.profiling.read_peak import SECONDS, read_peak_gbps


class Machine:
    """Reads at this many bytes a second; notes the time that it took."""

    def __init__(self, rate: float, arena: int) -> None:
        self.rate, self.arena, self.spent = rate, arena, 0.0

    def probe_read(self, model: object, most: int) -> tuple[int, float]:
        n_bytes = min(self.arena, most)
        self.spent += n_bytes / self.rate
        return n_bytes, n_bytes / self.rate


@pytest.mark.parametrize("rate", [1e9, 4e9, 40e9, 400e9])
@pytest.mark.parametrize("arena", [1 << 17, 100 << 20, 8 << 30, 400 << 30])
def test_never_longer_than_half_a_second(rate: float, arena: int, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, machine = Engine.load(tiny, n_threads=1), Machine(rate, arena)
    monkeypatch.setattr(_native, "probe_read", machine.probe_read)
    assert read_peak_gbps(engine) == pytest.approx(rate / 1e9)
    assert machine.spent <= SECONDS


def test_not_measured_where_it_takes_too_long(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "probe_read", Machine(1e8, 1 << 30).probe_read)
    assert read_peak_gbps(Engine.load(tiny, n_threads=1)) is None


def test_numpy_has_none(tiny: Path) -> None:
    assert read_peak_gbps(Engine.load(tiny, backend="numpy")) is None


def test_a_part_of_the_weights(tiny: Path) -> None:
    model = Engine.load(tiny, n_threads=2).native
    assert _native.probe_read(model, 100)[0] == 64
    assert _native.probe_read(model)[0] == _native.probe_read(model, 1 << 40)[0] > 64
    with pytest.raises(ValueError, match="at least 64 bytes"):
        _native.probe_read(model, 63)


def run(model: Path, capture: Path, *options: str) -> dict[str, str]:
    words = ["run", str(model), "-p", "abc", "-n", "3", "--no-chat", "--temp", "0", "--capture", str(capture)]
    assert main([*words, *options]) == 0
    return read_capture(capture)[0]


def test_run_measures_it_and_says_what_lacks(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = run(tiny, tmp_path / "c.csv", "--events", "task-clock")
    with_peak = capsys.readouterr()
    assert float(header["read_peak_gbps"]) > 0
    assert with_peak.err.splitlines()[-1] == "note: for a verdict c.csv lacks counters (--events default)"
    header = run(tiny, tmp_path / "c.csv", "--events", "task-clock", "--no-peak")
    without = capsys.readouterr()
    assert "read_peak_gbps" not in header
    assert without.err.splitlines()[-1].endswith("(--events default) and a read peak (without --no-peak)")
    assert without.out == with_peak.out


def test_who_wants_times_alone_is_not_told(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tiny, tmp_path / "c.csv", "--events", "none", "--no-peak")
    assert "lacks" not in capsys.readouterr().err
    run(tiny, tmp_path / "c.csv", "--backend", "numpy")
    assert "lacks counters and a read peak (the native backend has them)" in capsys.readouterr().err


def test_no_peak_needs_a_capture(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tiny), "-p", "a", "--no-peak"]) == 2
    assert "--no-peak needs --capture" in capsys.readouterr().err
