"""Runs of which no token is known, by their whole time (`whole_times`), and what `analysis.compare` says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from analysis_commands import Run

from analysis import compare, whole_times
from analysis.judging import load
from analysis.phase import Phase
from analysis.table import Table

RUN = (
    " Performance counter stats for './a.out'{runs}:\n\n"
    "          1,234.50 msec task-clock                #    1.000 CPUs utilized{spread}\n"
    "     {cycles:,}      cycles                    #    2.430 GHz{spread}\n"
    "     1,000,000,000      stalled-cycles-backend{spread}\n\n"
    "       {seconds} seconds time elapsed{spread}\n"
)
USER = "\n       1.100000000 seconds user\n       0.200000000 seconds sys\n"


def write(path: Path, seconds: str, repeats: int = 0, cycles: int = 2_000_000_000) -> Path:
    runs, spread = (f" ({repeats} runs)", "    ( +-  1.00% )") if repeats else ("", "")
    path.write_text(RUN.format(runs=runs, spread=spread, seconds=seconds, cycles=cycles) + ("" if repeats else USER))
    return path


def test_two_runs_of_perf_stat(tmp_path: Path, command: Run) -> None:
    left = write(tmp_path / "synthetic-a.txt", "2.500000000")
    right = write(tmp_path / "synthetic-b.txt", "2.000000000", cycles=1_800_000_000)
    out = command(compare.main, left, right)[1]
    card = " ".join(out.split())
    assert "20.0 % less time, 1.25 times as fast: 2.500 → 2.000 s elapsed" in card
    assert "perf stat -r 10 tells whether it is more than noise" in card
    found = {c["name"]: c for c in json.loads(command(compare.main, left, right, "--json")[1])["changes"]}
    assert found["time elapsed"]["relative"] == pytest.approx(-0.2)
    assert found["CPU_CYCLES"]["relative"] == pytest.approx(-0.1) and found["CPU_CYCLES"]["unit"] == "in all"
    assert (found["user time"]["left"], found["system time"]["right"]) == (1.1, 0.2)
    assert [line.split()[0] for line in out.splitlines() if " no interval" in line][:4] == [
        *("time", "CPU", "user", "system"),
    ]
    slower = command(compare.main, right, left)[1]
    assert "25.0 % more time, 0.80 times as fast: 2.000 → 2.500 s elapsed" in " ".join(slower.split())


@pytest.mark.parametrize(
    ("right", "verdict"), [("2.0000", "20.0 % less time, 1.25 times as fast"), ("2.5100", "no change beyond noise")]
)
def test_the_spread_of_several_runs_decides(tmp_path: Path, command: Run, right: str, verdict: str) -> None:
    """1 % of standard error in each of five runs: t = 2.78, so 3.9 % either way."""
    paths = write(tmp_path / "synthetic-a.txt", "2.5000", 5), write(tmp_path / "synthetic-b.txt", right, 5)
    out = " ".join(command(compare.main, *paths)[1].split())
    assert verdict in out and "95 % interval" in out and "-r 10" not in out


def test_intervals_and_what_is_not_known() -> None:
    def phase(seconds: float) -> Phase:
        return Phase("all", 0, 0, 0.0, seconds)

    table = Table(None, {"elapsed_error": 0.01, "repeats": 5})  # type: ignore[arg-type]
    without = Table(None, {"elapsed_error": 0.01, "repeats": 1})  # type: ignore[arg-type]
    (one,) = whole_times.of_phases(phase(2.0), table, phase(1.0), table)
    assert one.interval == pytest.approx((-0.5 - 0.5 * 2.78 * 2**0.5 * 0.01, -0.5 + 0.5 * 2.78 * 2**0.5 * 0.01))
    assert [t.interval for t in whole_times.of_phases(phase(2.0), table, phase(1.0), without)] == [None]
    assert list(whole_times.of_phases(phase(float("nan")), table, phase(1.0), table)) == []


def test_no_times_at_all(tmp_path: Path, command: Run) -> None:
    path = tmp_path / "synthetic.csv"
    path.write_text("1000000,,cycles,1000,100.00,,\n400000,,stalled-cycles-backend,1000,100.00,,\n")
    out = command(compare.main, path, path)[1]
    assert "no times to compare" in out and "duration_time" in out


def test_elapsed_is_read_with_its_error(tmp_path: Path) -> None:
    capture = load(write(tmp_path / "synthetic.txt", "2.5000 +- 0.0250", 5))
    assert (capture.table.meta["elapsed_s"], capture.table.meta["elapsed_error"]) == (2.5, 0.01)
