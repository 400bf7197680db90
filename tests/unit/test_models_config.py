"""The registry of architectures: each has tiny models that are run on every path, and its own traits."""

from __future__ import annotations

from pathlib import Path

import bits
import pytest
from models.tiny import TINY, TINY_QWEN2, write_tiny

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.models import ARCHITECTURES, read_model
from q4engine.models.config import ModelConfig
from q4engine.models.graph import NONE, Graph, RopeStyle
from q4engine.models.qwen2 import Qwen2
from q4engine.models.qwen3 import Qwen3
from q4engine.models.transformer import Transformer


def read(path: Path) -> tuple[ModelConfig, Graph]:
    with GGUFFile.open(path) as file:
        return read_model(file)


def test_every_architecture_has_tiny_models_and_fingerprints() -> None:
    assert set(TINY) == set(ARCHITECTURES) == {spec.architecture for spec in bits.SPECS.values()}
    assert set(bits.SPECS) == set(bits.golden())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sizes_that_the_engine_asks_for(tmp_path: Path, name: str) -> None:
    spec = TINY[name]
    config, graph = read(write_tiny(tmp_path / "synthetic-tiny.gguf", spec))
    assert type(config) is ARCHITECTURES[name] and config.architecture == name and isinstance(config, Transformer)
    sizes = (config.n_layers, config.n_ctx_train, config.vocab_size)
    assert sizes == (spec.n_layers, spec.n_ctx_train, spec.vocab_size)
    assert graph.tensors == {tensor.name for tensor in spec.tensors()}
    assert list(graph.buffers.values())[graph.ops[-1].index("out")].width == spec.vocab_size


NORM_STYLE = {"granite", "llama", "olmo", "smollm3"}


def test_heads_of_qwen3_are_normed_before_they_turn(tmp_path: Path) -> None:
    config, graph = read(write_tiny(tmp_path / "synthetic-tiny.gguf", TINY["qwen3"]))
    assert isinstance(config, Qwen3)
    layer = [op for op in graph.ops if op.layer == 1]
    at = next(i for i, op in enumerate(layer) if op.kind == "rope")
    norms = [(op.name, op.index("source_col"), op.index("width"), op.index("count")) for op in layer[at - 2 : at]]
    assert norms == [("blk.1.attn_q_norm.weight", 0, 16, 4), ("blk.1.attn_k_norm.weight", 64, 16, 2)]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_traits(tmp_path: Path, name: str) -> None:
    style, bias = RopeStyle.NORM if name in NORM_STYLE else RopeStyle.NEOX, TINY[name].qkv_bias
    _, graph = read(write_tiny(tmp_path / "synthetic-tiny.gguf", TINY[name]))
    assert {op.fields["style"] for op in graph.ops if op.kind == "rope"} == {style}
    biased = {op.name for op in graph.ops if op.kind == "matmul" and op.index("bias") != NONE}
    assert biased == ({op.name for op in graph.ops if "attn_q" in op.name and op.kind == "matmul"} if bias else set())


def test_biases_of_queries_are_part_of_qwen2_and_none_of_qwen3(tmp_path: Path) -> None:
    with pytest.raises(Q4Error, match=r"tensor 'blk.0.attn_q.bias' is missing"):
        read(write_tiny(tmp_path / "without.gguf", TINY_QWEN2.with_changes(qkv_bias=False)))
    with pytest.raises(Q4Error, match=r"tensor 'blk.0.attn_q.bias' is not part of a qwen3 model"):
        read(write_tiny(tmp_path / "with.gguf", TINY["qwen3"].with_changes(qkv_bias=True)))


def test_the_last_layer_serves_the_last_token_once_keys_are_stored(tmp_path: Path) -> None:
    config, graph = read(write_tiny(tmp_path / "synthetic-tiny.gguf", TINY_QWEN2))
    assert isinstance(config, Qwen2)
    kinds = [(op.kind, op.layer) for op in graph.ops if op.last]
    stored = graph.ops.index(next(op for op in graph.ops if (op.kind, op.layer) == ("kv_store", config.n_layers - 1)))
    assert [op.last for op in graph.ops] == [i > stored for i in range(len(graph.ops))]
    assert kinds[0] == ("attention", config.n_layers - 1) and kinds[-1] == ("matmul", NONE)
