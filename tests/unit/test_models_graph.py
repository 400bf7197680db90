"""The graph: what its operations are told, and what the native core refuses of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models.tiny import TINY_LLAMA, write_tiny

from q4engine import _native
from q4engine import engine as engine_module
from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.models.graph import FIELDS, Activation, usual_scale


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine.load(write_tiny(tmp_path / "synthetic-tiny.gguf", TINY_LLAMA.with_changes(rope_freqs=True)))


def test_operations_have_the_fields_of_their_kind_in_order(engine: Engine) -> None:
    others = {"layer_norm", "clamp", "router", "experts", "experts_sum"}
    assert {op.kind for op in engine.graph.ops} == set(FIELDS) - others
    for op in engine.graph.ops:
        assert tuple(op.fields) == FIELDS[op.kind]


def test_factors_of_rope_are_those_of_the_tensor(engine: Engine) -> None:
    (table,) = engine.graph.rope_tables
    assert (table.dim, table.base, table.magnitude) == (TINY_LLAMA.head_dim, TINY_LLAMA.rope_freq_base, 1.0)
    factors = table.factors_for(10**6)
    assert factors is not None and factors.tobytes() == engine.gguf.tensor("rope_freqs.weight").data.tobytes()


def test_kinds_and_fields_are_those_of_the_native_core() -> None:
    kinds = _native.operations()
    assert [(number, tuple(fields)) for number, fields in kinds.values()] == list(enumerate(FIELDS.values()))
    assert list(kinds) == list(FIELDS)


@pytest.mark.parametrize("head_dim", [1, 16, 48, 64, 80, 96, 128, 256])
def test_the_usual_scale_is_float32(head_dim: int) -> None:
    root = np.float32(np.sqrt(np.float64(head_dim)))  # correctly rounded: double holds more than twice float's bits
    assert usual_scale(head_dim) == float(np.float32(np.float64(1) / np.float64(root)))


@pytest.mark.parametrize(
    ("kind", "name", "value", "reason"),
    [
        ("attention", "logit_cap", -30.0, "scores capped at -30"),
        ("attention", "logit_cap", float("nan"), "scores capped at -?nan"),
        ("attention", "scale", -0.5, "scores scaled by -0.5"),
        ("swiglu", "activation", len(Activation), "no activation 2"),
        ("embed", "scale", 0.0, "an embedding scaled by 0"),
        ("embed", "scale", float("inf"), "an embedding scaled by inf"),
        ("matmul", "scale", 0.0, "a product scaled by 0"),
        ("matmul", "logit_cap", 30.0, "a product capped at 30; only the logits are"),
        ("rms_norm", "add", True, "buffer 1 is not written for all tokens before it"),
        ("rms_norm", "count", 2, "2 norms of .* columns do not fit their buffers"),
        ("rope", "table", 1, "no RoPE table 1"),
    ],
)
def test_what_makes_no_sense_to_the_native_core_is_refused(
    engine: Engine, kind: str, name: str, value: float, reason: str
) -> None:
    graph = engine.graph
    at = next(i for i, op in enumerate(graph.ops) if op.kind == kind)
    graph.ops[at] = replace(graph.ops[at], fields=graph.ops[at].fields | {name: value})
    with pytest.raises(Q4Error, match=f"{re.escape(graph.ops[at].name)}: {reason}"):
        engine_module._build_native(engine.gguf, graph, engine.config.n_layers, (1, 1), None)
