"""`analysis.compare` end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from analysis_commands import Run, write_tokens

from analysis import compare


def test_compare(tmp_path: Path, command: Run) -> None:
    left = write_tokens(tmp_path / "synthetic-a.csv", 0.020, 0.5)
    right = write_tokens(tmp_path / "synthetic-b.csv", 0.024, 0.5)
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
