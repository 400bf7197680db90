"""Operations of different engines under the same names (`kinds`), and the comparison that follows from it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import synthetic_engines as engines
from analysis_commands import Run

from analysis import compare, kinds
from analysis.changes import compare as compare_captures
from analysis.judging import load

N_LAYERS = 3


def microseconds(left: Path, right: Path) -> dict[str, tuple[float, float]]:
    """Of a token, by kind, in both."""
    found = compare_captures(load(left), load(right))
    return {c.name: (1e6 * c.left, 1e6 * c.right) for c in found.of("decode", "operation")}


EXPECTED = {name: (a * N_LAYERS, b * N_LAYERS) for name, (a, b) in engines.LAYER.items()} | {"output": engines.OUTPUT}


def test_differences_between_engines_are_told_exactly(tmp_path: Path) -> None:
    left, right = engines.pair(tmp_path)
    found = microseconds(left, right)
    assert set(found) == set(EXPECTED)
    for name, pair in EXPECTED.items():
        assert found[name] == pytest.approx(pair, rel=1e-9), name
    result = compare_captures(load(left), load(right))
    (speed,) = result.of("decode", "speed")
    parts = result.of("decode", "operation")
    assert sum(part.difference for part in parts) == pytest.approx(speed.difference, rel=1e-9)
    assert result.explained("decode") == pytest.approx(1.0, rel=1e-9)
    assert [text for _, text in result.together] == [
        "A does attn_q+attn_k+attn_v in one product",
        "A does ffn_gate+ffn_up in one product",
        "B does quantize_activations on the way of another operation: it counts to a product behind it",
        "A does add on the way of another operation: it counts to a product before it",
        "A does rope on the way of another operation: it counts to kv_store behind it",
    ]


def test_swapped_captures_give_the_mirrored_table(tmp_path: Path) -> None:
    left, right = engines.pair(tmp_path)
    one, other = microseconds(left, right), microseconds(right, left)
    assert {name: (b, a) for name, (a, b) in other.items()} == one


def test_what_a_prompt_does_on_the_way(tmp_path: Path) -> None:
    """The activation takes no time of its own in one engine: it counts to gate and up in both."""
    ours = [(op, tensor, 0 if op == "swiglu" else time) for op, tensor, time in engines.OURS]
    left = engines.write(tmp_path / "synthetic-prompt.csv", ours, ("gemm", "output.weight", 50), tokens=4)
    _, right = engines.pair(tmp_path)
    found = microseconds(left, right)
    assert "swiglu" not in found
    assert found["ffn_gate+ffn_up"] == pytest.approx((61 * N_LAYERS / 4, 69 * N_LAYERS))


def test_products_that_overlap_are_one(tmp_path: Path) -> None:
    rows = [
        pd.DataFrame({"op": "gemv", "tensor": [f"blk.0.{text}" for text in texts], "call": 0, "start_s": [0.0, 1.0]})
        for texts in (["attn_q+attn_k", "attn_v"], ["attn_q", "attn_k+attn_v"])
    ]
    for one, other in (rows, rows[::-1]):
        found = kinds.shared({"A": one, "B": other})
        assert set(found.names["A"]) == set(found.names["B"]) == {"attn_k+attn_v+attn_q"}


def test_one_engine_keeps_its_own_names_unless_asked(tmp_path: Path, command: Run) -> None:
    left, _ = engines.pair(tmp_path)

    def names(*options: str) -> set[str]:
        result = json.loads(command(compare.main, left, left, "--json", *options)[1])
        assert result["together"] == []
        return {change["name"] for change in result["changes"] if change["kind"] == "operation"}

    assert names() == {"rms_norm", "quantize_activations", "gemv", "kv_store", "attention", "swiglu"}
    assert {"attn_q+attn_k+attn_v", "ffn_down", "quantize_activations"} <= names("--by", "tensor")


def test_the_report_of_two_engines(tmp_path: Path, command: Run) -> None:
    left, right = engines.pair(tmp_path)
    page = tmp_path / "page.html"
    status, out, err = command(compare.main, left, right, "--html", page)
    assert (status, err) == (0, "")
    words = " ".join(out.split())
    assert "taken together: A does attn_q+attn_k+attn_v in one product" in words
    assert "explained: operations and waiting make 100.0 % of the difference" in words
    assert "engine: - → llama.cpp" in words
    result = json.loads(command(compare.main, left, right, "--json")[1])
    assert result["explained"] == {"decode": pytest.approx(1.0)}
    (rate,) = [entry for entry in result["rates"] if entry["name"] == "attn_output"]
    assert rate["left"]["bytes"] == rate["right"]["bytes"] == 2304 * N_LAYERS
    assert rate["left"]["bandwidth"] == pytest.approx(2304 / 11e-6)
    assert rate["right"]["bandwidth"] == pytest.approx(2304 / 13e-6)
    assert "MB a token, A" in page.read_text() and "of the difference" in page.read_text()
