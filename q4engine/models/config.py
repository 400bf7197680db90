"""Hyper-parameters of a model, read from a GGUF file and checked against its tensors before anything trusts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile, TensorType

RopeStyle = Literal["norm", "neox"]

ROPE_STYLES: dict[str, RopeStyle] = {"llama": "norm", "qwen2": "neox"}
"""The supported architectures. ``norm`` rotates neighbours (2i, 2i+1), ``neox`` the halves (i, i + rope_dim/2)."""

QKV_BIAS = frozenset({"qwen2"})

_MAX_COUNT = 1 << 30
_MAX_ROPE_BASE = 1e30
_MIN_EPSILON = 1e-30  # below, a row of zeros would be divided by nothing
_MIN_ROPE_FACTOR = 0.25  # a context of any length keeps angles within what sine and cosine are exact for


@dataclass(frozen=True)
class ModelConfig:
    """What a decoder of a supported architecture computes. All sizes are counts of elements.

    ``head_dim`` is the size of a head of Q, K and V alike; the first ``rope_dim`` elements of it are rotated.
    """

    architecture: str
    n_layers: int
    n_ctx_train: int
    dim: int
    n_ffn: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rope_dim: int
    rope_freq_base: float
    rms_eps: float
    vocab_size: int
    tied_output: bool
    rope_style: RopeStyle
    rope_freqs: bool

    @property
    def qkv_bias(self) -> bool:
        return self.architecture in QKV_BIAS

    @classmethod
    def from_gguf(cls, file: GGUFFile) -> ModelConfig:
        """Read and check; a Q4Error names the key or tensor that is missing, out of range or contradicts another."""
        architecture = file.metadata.string("general.architecture")
        if architecture not in ROPE_STYLES:
            known = ", ".join(sorted(ROPE_STYLES))
            raise Q4Error(f"{file.path}: the architecture {shown(architecture)} is not supported, expected {known}")
        read = _Reader(file, architecture)
        read.refuse_variants()
        embedding = file.tensor("token_embd.weight")
        if len(embedding.shape) != 2:
            raise Q4Error(f"{file.path}: tensor 'token_embd.weight' has shape {embedding.shape}, expected 2 dimensions")
        dim = read.count("embedding_length")
        n_heads = read.count("attention.head_count")
        head_dim = read.head_dim(dim, n_heads)
        config = cls(
            architecture=architecture,
            n_layers=read.count("block_count"),
            n_ctx_train=read.count("context_length"),
            dim=dim,
            n_ffn=read.count("feed_forward_length"),
            n_heads=n_heads,
            n_kv_heads=read.n_kv_heads(n_heads),
            head_dim=head_dim,
            rope_dim=read.rope_dim(head_dim),
            rope_freq_base=read.real("rope.freq_base", 1.0, _MAX_ROPE_BASE, 10000.0),
            rms_eps=read.real("attention.layer_norm_rms_epsilon", _MIN_EPSILON, 0.5),
            vocab_size=embedding.shape[0],
            tied_output="output.weight" not in file.tensors,
            rope_style=ROPE_STYLES[architecture],
            rope_freqs="rope_freqs.weight" in file.tensors,
        )
        config._check_tensors(file)
        if config.rope_freqs:
            config._check_rope_factors(file)
        config._check_vocabulary(file)
        return config

    def tensor_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape (rows, columns) of every tensor that the model has."""
        q_dim, kv_dim = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        yield "token_embd.weight", (self.vocab_size, self.dim)
        yield "output_norm.weight", (self.dim,)
        if not self.tied_output:
            yield "output.weight", (self.vocab_size, self.dim)
        if self.rope_freqs:
            yield "rope_freqs.weight", (self.rope_dim // 2,)
        for layer in range(self.n_layers):
            prefix = f"blk.{layer}."
            yield prefix + "attn_norm.weight", (self.dim,)
            yield prefix + "attn_q.weight", (q_dim, self.dim)
            yield prefix + "attn_k.weight", (kv_dim, self.dim)
            yield prefix + "attn_v.weight", (kv_dim, self.dim)
            if self.qkv_bias:
                yield prefix + "attn_q.bias", (q_dim,)
                yield prefix + "attn_k.bias", (kv_dim,)
                yield prefix + "attn_v.bias", (kv_dim,)
            yield prefix + "attn_output.weight", (self.dim, q_dim)
            yield prefix + "ffn_norm.weight", (self.dim,)
            yield prefix + "ffn_gate.weight", (self.n_ffn, self.dim)
            yield prefix + "ffn_up.weight", (self.n_ffn, self.dim)
            yield prefix + "ffn_down.weight", (self.dim, self.n_ffn)

    def _check_tensors(self, file: GGUFFile) -> None:
        """Every tensor of the model is there in its shape and a usable type, and none that the model would ignore."""
        names = set()
        for name, shape in self.tensor_shapes():
            info = file.tensor(name, shape)
            info.require_usable()
            if len(shape) == 1 and info.type is not TensorType.F32:
                raise Q4Error(f"{file.path}: tensor {shown(name)} is of type {info.type.name}, expected F32")
            names.add(name)
        for name in file.tensors:
            if name not in names:
                raise Q4Error(
                    f"{file.path}: tensor {shown(name)} is not part of a {self.architecture} model "
                    f"of {self.n_layers} layers, which would leave it out"
                )

    def _check_rope_factors(self, file: GGUFFile) -> None:
        factors = file.tensor("rope_freqs.weight").data.view("<f4")
        bad = (~(factors >= _MIN_ROPE_FACTOR) | ~np.isfinite(factors)).nonzero()[0]
        if len(bad):
            raise Q4Error(
                f"{file.path}: tensor 'rope_freqs.weight' has {factors[bad[0]]:g} as element {bad[0]}, "
                f"expected finite factors from {_MIN_ROPE_FACTOR}"
            )

    def _check_vocabulary(self, file: GGUFFile) -> None:
        meta = file.metadata
        stated = meta.integer(f"{self.architecture}.vocab_size", self.vocab_size)
        if stated != self.vocab_size:
            raise Q4Error(
                f"{file.path}: key '{self.architecture}.vocab_size' is {stated}, "
                f"but tensor 'token_embd.weight' has {self.vocab_size} rows"
            )
        if "tokenizer.ggml.tokens" in meta:
            n_tokens = len(meta.string_array("tokenizer.ggml.tokens"))
            if n_tokens != self.vocab_size:
                raise Q4Error(
                    f"{file.path}: the vocabulary has {n_tokens} tokens, "
                    f"but tensor 'token_embd.weight' has {self.vocab_size} rows"
                )
        for key in meta:
            if key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
                token = meta.integer(key)
                if not 0 <= token < self.vocab_size:
                    raise Q4Error(f"{file.path}: key {shown(key)} is {token}, expected 0 to {self.vocab_size - 1}")


class _Reader:
    """Reads the keys of one architecture, each with its range."""

    def __init__(self, file: GGUFFile, architecture: str) -> None:
        self.path = file.path
        self.meta = file.metadata
        self.prefix = architecture + "."

    def error(self, key: str, message: str) -> Q4Error:
        return Q4Error(f"{self.path}: key {shown(self.prefix + key)} {message}")

    def count(self, key: str, default: int | None = None) -> int:
        full = self.prefix + key
        value = self.meta.integer(full) if default is None else self.meta.integer(full, default)
        if not 1 <= value <= _MAX_COUNT:
            raise self.error(key, f"is {value}, expected 1 to {_MAX_COUNT}")
        return value

    def real(self, key: str, low: float, high: float, default: float | None = None) -> float:
        full = self.prefix + key
        value = self.meta.real(full) if default is None else self.meta.real(full, default)
        if not low <= value <= high:
            raise self.error(key, f"is {value:g}, expected {low:g} to {high:g}")
        return value

    def n_kv_heads(self, n_heads: int) -> int:
        n_kv_heads = self.count("attention.head_count_kv", n_heads)
        if n_heads % n_kv_heads:
            raise self.error("attention.head_count_kv", f"is {n_kv_heads}, expected a divisor of the {n_heads} heads")
        return n_kv_heads

    def head_dim(self, dim: int, n_heads: int) -> int:
        if self.prefix + "attention.key_length" not in self.meta and dim % n_heads:
            raise self.error("attention.head_count", f"is {n_heads}, expected a divisor of the embedding length {dim}")
        head_dim = self.count("attention.key_length", max(1, dim // n_heads))
        value_dim = self.count("attention.value_length", head_dim)
        if value_dim != head_dim:
            raise self.error("attention.value_length", f"is {value_dim}, expected the key length {head_dim}")
        return head_dim

    def rope_dim(self, head_dim: int) -> int:
        rope_dim = self.count("rope.dimension_count", head_dim)
        if rope_dim % 2 or rope_dim > head_dim:
            raise self.error("rope.dimension_count", f"is {rope_dim}, expected an even number up to {head_dim}")
        return rope_dim

    def refuse_variants(self) -> None:
        """Variants of the architecture that would compute something else."""
        if self.meta.integer(self.prefix + "expert_count", 0):
            raise self.error("expert_count", "is not 0: mixtures of experts are not supported")
        scaling = self.meta.string(self.prefix + "rope.scaling.type", "none")
        if scaling != "none":
            raise self.error("rope.scaling.type", f"is {shown(scaling)}, expected 'none' (no RoPE scaling)")
        for key in ("rope.scale_linear", "rope.scaling.factor"):
            if self.meta.real(self.prefix + key, 1.0) not in (0.0, 1.0):
                raise self.error(key, "is neither 0 nor 1: RoPE scaling is not supported")
