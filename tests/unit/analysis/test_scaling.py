"""`analysis.scaling` end to end: speed-up and shares by component, over threads and prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from analysis_commands import PNG, Run

from analysis import scaling


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
