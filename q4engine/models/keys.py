"""Reads an architecture's hyper-parameters from a GGUF file, each key with its range."""

from __future__ import annotations

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile

_MAX_COUNT = 1 << 30
_MAX_ROPE_BASE = 1e30
_MIN_EPSILON = 1e-30  # below, a row of zeros would be divided by nothing


class KeyReader:
    """Reads the keys of one architecture; a Q4Error names the key that is missing, out of range or contradicts another.

    Keys are given without the architecture's prefix. What several architectures have in common is a method here.
    """

    def __init__(self, file: GGUFFile, architecture: str) -> None:
        self.file = file
        self.architecture = architecture
        self._meta = file.metadata
        self._prefix = architecture + "."

    def error(self, key: str, message: str) -> Q4Error:
        return Q4Error(f"{self.file.path}: key {shown(self._prefix + key)} {message}")

    def count(self, key: str, default: int | None = None) -> int:
        """A number of things: at least 1."""
        full = self._prefix + key
        value = self._meta.integer(full) if default is None else self._meta.integer(full, default)
        if not 1 <= value <= _MAX_COUNT:
            raise self.error(key, f"is {value}, expected 1 to {_MAX_COUNT}")
        return value

    def real(self, key: str, low: float, high: float, default: float | None = None) -> float:
        full = self._prefix + key
        value = self._meta.real(full) if default is None else self._meta.real(full, default)
        if not low <= value <= high:
            raise self.error(key, f"is {value:g}, expected {low:g} to {high:g}")
        return value

    def vocab_size(self) -> int:
        """The embedding's rows. Whether its columns are right is the graph's to say."""
        embedding = self.file.tensor("token_embd.weight")
        if len(embedding.shape) != 2:
            raise Q4Error(
                f"{self.file.path}: tensor 'token_embd.weight' has shape {embedding.shape}, expected 2 dimensions"
            )
        return embedding.shape[0]

    def has_tensor(self, name: str) -> bool:
        return name in self.file.tensors

    def n_kv_heads(self, n_heads: int) -> int:
        """How many heads keys and values have; as many as queries unless the file says otherwise."""
        n_kv_heads = self.count("attention.head_count_kv", n_heads)
        if n_heads % n_kv_heads:
            raise self.error("attention.head_count_kv", f"is {n_kv_heads}, expected a divisor of the {n_heads} heads")
        return n_kv_heads

    def head_dim(self, dim: int, n_heads: int) -> int:
        """The size of a head of queries, keys and values alike."""
        if self._prefix + "attention.key_length" not in self._meta and dim % n_heads:
            raise self.error("attention.head_count", f"is {n_heads}, expected a divisor of the embedding length {dim}")
        head_dim = self.count("attention.key_length", max(1, dim // n_heads))
        value_dim = self.count("attention.value_length", head_dim)
        if value_dim != head_dim:
            raise self.error("attention.value_length", f"is {value_dim}, expected the key length {head_dim}")
        return head_dim

    def rope_dim(self, head_dim: int) -> int:
        """How many elements of a head RoPE rotates."""
        rope_dim = self.count("rope.dimension_count", head_dim)
        if rope_dim % 2 or rope_dim > head_dim:
            raise self.error("rope.dimension_count", f"is {rope_dim}, expected an even number up to {head_dim}")
        return rope_dim

    def rope_freq_base(self) -> float:
        return self.real("rope.freq_base", 1.0, _MAX_ROPE_BASE, 10000.0)

    def rms_eps(self) -> float:
        return self.real("attention.layer_norm_rms_epsilon", _MIN_EPSILON, 0.5)

    def refuse_variants(self) -> None:
        """Variants of a decoder that would compute something else: experts, RoPE scaling."""
        if self._meta.integer(self._prefix + "expert_count", 0):
            raise self.error("expert_count", "is not 0: mixtures of experts are not supported")
        scaling = self._meta.string(self._prefix + "rope.scaling.type", "none")
        if scaling != "none":
            raise self.error("rope.scaling.type", f"is {shown(scaling)}, expected 'none' (no RoPE scaling)")
        for key in ("rope.scale_linear", "rope.scaling.factor"):
            if self._meta.real(self._prefix + key, 1.0) not in (0.0, 1.0):
                raise self.error(key, "is neither 0 nor 1: RoPE scaling is not supported")
