"""`analysis.roofline` end to end."""

from __future__ import annotations

from pathlib import Path

from analysis_commands import PNG, Run

from analysis import roofline


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
