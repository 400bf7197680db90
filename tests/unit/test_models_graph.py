"""The graph: what its operations are told, and what the native core refuses of it."""

from __future__ import annotations

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
    assert {op.kind for op in engine.graph.ops} == set(FIELDS)
    for op in engine.graph.ops:
        assert tuple(op.fields) == FIELDS[op.kind]


def test_factors_of_rope_are_a_vector_of_its_table(engine: Engine) -> None:
    (table,) = engine.graph.rope_tables
    assert (table.dim, table.base) == (TINY_LLAMA.head_dim, TINY_LLAMA.rope_freq_base)
    assert [tensor.name for tensor in engine.graph.vectors[table.factors]] == ["rope_freqs.weight"]


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
        ("attention", "window", 64, "a window of 64 positions is not implemented"),
        ("attention", "logit_cap", 30.0, "scores capped at 30 are not implemented"),
        ("attention", "scale", -0.5, "scores scaled by -0.5"),
        ("swiglu", "activation", Activation.GELU, "activation 1 is not implemented"),
        ("embed", "scale", 8.0, "an embedding scaled by 8 is not implemented"),
        ("rms_norm", "count", 2, "2 norms of .* columns do not fit their buffers"),
        ("rope", "table", 1, "no RoPE table 1"),
    ],
)
def test_what_the_native_core_lacks_is_refused(engine: Engine, kind: str, name: str, value: float, reason: str) -> None:
    graph = engine.graph
    at = next(i for i, op in enumerate(graph.ops) if op.kind == kind)
    graph.ops[at] = replace(graph.ops[at], fields=graph.ops[at].fields | {name: value})
    with pytest.raises(Q4Error, match=f"{graph.ops[at].name}: {reason}"):
        engine_module._build_native(engine.gguf, graph, engine.config.n_layers, 1, None)
