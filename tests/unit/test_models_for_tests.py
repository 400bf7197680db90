"""The writers of synthetic models: readable, deterministic, with finite values of about the spread asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from models.blocks import random_tensor
from models.qwen_shape import QWEN_SHAPE, write_qwen_shape
from models.shapes import SHAPES
from models.spec import TensorSpec
from models.tiny import MIXED_TYPES, TINY_LLAMA, TINY_QWEN2, write_tiny
from models.vocabulary import synthetic_bpe

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile, TensorType
from q4engine.gguf.dequantize import dequantize, dequantize_tensor
from q4engine.gguf.types import USABLE_TYPES


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", sorted(USABLE_TYPES), ids=lambda kind: kind.name)
def test_random_values_have_the_spread_asked_for(kind: TensorType) -> None:
    spec = TensorSpec("w", (64, 1024), kind, std=0.25)
    raw = random_tensor(spec, np.random.default_rng(3))
    values = dequantize(raw.reshape(-1), kind, spec.shape)
    assert np.isfinite(values).all()
    assert abs(values.mean()) < 0.01
    assert 0.2 < values.std() < 0.3


@pytest.mark.parametrize("base", [TINY_LLAMA, TINY_QWEN2], ids=["llama", "qwen2"])
@pytest.mark.parametrize("kind", sorted(USABLE_TYPES), ids=lambda kind: kind.name)
def test_tiny_models_of_every_type(tmp_path: Path, base, kind: TensorType) -> None:
    spec = base.with_changes(weight_type=kind, dim=256, n_layers=1)
    with GGUFFile.open(write_tiny(tmp_path / "tiny.gguf", spec)) as file:
        assert file.tensors["blk.0.attn_q.weight"].type is kind
        assert file.metadata.string("general.architecture") == base.architecture
        assert all(np.isfinite(dequantize_tensor(info)).all() for info in file.tensors.values())
        tokens = file.metadata.strings("tokenizer.ggml.tokens")
        assert len(tokens) == len(set(tokens)) == spec.vocab_size


def test_a_seed_gives_the_same_file(tmp_path: Path) -> None:
    first = sha256(write_tiny(tmp_path / "a.gguf"))
    assert first == sha256(write_tiny(tmp_path / "b.gguf"))
    assert first != sha256(write_tiny(tmp_path / "c.gguf", TINY_LLAMA.with_changes(seed=2)))


def test_mixed_types_and_options(tmp_path: Path) -> None:
    spec = TINY_LLAMA.with_changes(dim=256, types=MIXED_TYPES, n_ffn=172, rope_freqs=True, tied_output=True)
    with GGUFFile.open(write_tiny(tmp_path / "mixed.gguf", spec)) as file:
        types = {name.removeprefix("blk.0."): info.type for name, info in file.tensors.items()}
        assert types["attn_q.weight"] is TensorType.Q4_0
        assert types["attn_k.weight"] is TensorType.Q4_1
        assert types["attn_v.weight"] is TensorType.Q6_K
        assert types["ffn_down.weight"] is TensorType.F16  # 172 columns fit no block
        assert file.tensors["rope_freqs.weight"].shape == (8,)
        assert "output.weight" not in file.tensors


def test_head_size_apart_from_the_embedding(tmp_path: Path) -> None:
    spec = TINY_QWEN2.with_changes(n_heads=3, n_kv_heads=1, head_dim=32)
    with GGUFFile.open(write_tiny(tmp_path / "heads.gguf", spec)) as file:
        assert file.tensors["blk.1.attn_q.weight"].shape == (96, 64)
        assert file.tensors["blk.1.attn_output.weight"].shape == (64, 96)
        assert file.tensors["blk.1.attn_k.bias"].shape == (32,)
        assert file.metadata.integer("qwen2.attention.key_length") == 32


def test_vocabulary_merges_build_their_tokens() -> None:
    vocabulary = synthetic_bpe(1200, "qwen2")
    assert vocabulary.merges is not None
    assert [merge.replace(" ", "") for merge in vocabulary.merges] == vocabulary.tokens[256:-3]
    known = set(vocabulary.tokens)
    assert all(part in known for merge in vocabulary.merges for part in merge.split(" "))
    assert len(known) == 1200
    with pytest.raises(ValueError, match="at least 259"):
        synthetic_bpe(258, "qwen2")


def test_qwen_shape_has_the_real_tensors_sizes() -> None:
    table = QWEN_SHAPE.tensors()
    n_bytes = sum(spec.type.row_bytes(spec.shape[-1]) * int(np.prod(spec.shape[:-1])) for spec in table)
    assert n_bytes == pytest.approx(389e6, rel=1e-3)
    types = {spec.name: spec.type for spec in table}
    assert types["output.weight"] is TensorType.Q6_K
    assert types["token_embd.weight"] is types["blk.23.ffn_down.weight"] is TensorType.Q4_0
    assert len(table) == 24 * 12 + 3


def test_qwen_shape_small_and_with_a_vocabulary(tmp_path: Path) -> None:
    """The same script at a small size; its vocabulary can come from another file."""
    small = QWEN_SHAPE.with_changes(n_layers=1, vocab_size=1000, n_ffn=256)
    source = write_qwen_shape(tmp_path / "small.gguf", spec=small)
    copy = write_qwen_shape(tmp_path / "copy.gguf", source, small)
    assert sha256(source) == sha256(copy)
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(Q4Error, match="1000 tokens, expected 999"):
        write_qwen_shape(tmp_path / "bad.gguf", source, small.with_changes(vocab_size=999))


SIZES = {"stories260k-shape": 0.26e6, "stories15m-shape": 15.2e6, "stories42m-shape": 41.7e6, "llama-1b-shape": 1.04e9}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_as_many_weights_as_the_models_that_they_are_of(name: str) -> None:
    assert sum(int(np.prod(spec.shape)) for spec in SHAPES[name].tensors()) == pytest.approx(SIZES[name], rel=0.02)
