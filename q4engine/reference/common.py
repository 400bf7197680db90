"""What the reference architectures share: weights as float32, the operations, the KV cache, the frame of decode.

Plain float32 NumPy, written to be read. n is the number of tokens of a call, T of all tokens so far.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from q4engine.errors import ContextFullError, Q4Error, shown
from q4engine.gguf import GGUFFile
from q4engine.gguf.dequantize import dequantize_tensor
from q4engine.models.config import ModelConfig, RopeStyle


class Weights:
    """The tensors of a file as float32, each decoded when first asked for and kept; shared by all decoders."""

    def __init__(self, file: GGUFFile) -> None:
        self.file = file
        self._decoded: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        """Shape (rows, columns) or (elements,). Q4Error where the tensor is missing or holds NaN or infinity."""
        if name not in self._decoded:
            with np.errstate(invalid="ignore", over="ignore"):  # found by the next line
                values = dequantize_tensor(self.file.tensor(name))
            if not np.isfinite(values).all():
                raise Q4Error(f"{self.file.path}: tensor {shown(name)} holds values that are not finite")
            self._decoded[name] = values
        return self._decoded[name]

    def layer(self, index: int) -> Layer:
        return Layer(self, f"blk.{index}.")


class Layer:
    """The tensors of one layer by their short names: ``layer["attn_q.weight"]``."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        self._weights = weights
        self._prefix = prefix

    def __getitem__(self, name: str) -> np.ndarray:
        return self._weights[self._prefix + name]


class KVCache:
    """Keys and values of every layer: [n_layers, n_ctx, n_kv_heads, head_dim]."""

    def __init__(self, config: ModelConfig, n_ctx: int) -> None:
        shape = (config.n_layers, n_ctx, config.n_kv_heads, config.head_dim)
        self.keys = np.zeros(shape, np.float32)
        self.values = np.zeros(shape, np.float32)

    def append(self, layer: int, n_past: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Store k, v [n, n_kv_heads, head_dim] from position n_past on; gives all: [T, n_kv_heads, head_dim]."""
        end = n_past + len(k)
        self.keys[layer, n_past:end] = k
        self.values[layer, n_past:end] = v
        return self.keys[layer, :end], self.values[layer, :end]


class Decoder(ABC):
    """One timeline over a model: ``decode`` appends tokens and gives logits. Subclasses write the forward pass."""

    def __init__(self, config: ModelConfig, weights: Weights, n_ctx: int) -> None:
        self.config = config
        self.weights = weights
        self.n_ctx = n_ctx
        self.n_past = 0
        self.cache = KVCache(config, n_ctx)
        self.inverse_frequencies = inverse_frequencies(config, weights)

    @abstractmethod
    def forward(self, tokens: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Hidden states [n, dim] before the final norm; appends to the KV cache."""

    def decode(self, tokens: Sequence[int], all_logits: bool = False) -> np.ndarray:
        """Logits float32 [vocab] after the last token, or [n, vocab] after each one.

        ContextFullError where the tokens do not fit, Q4Error for ids out of range; the timeline then stays as it was.
        """
        ids = np.asarray(tokens, np.int64)
        if ids.ndim != 1 or not len(ids):
            raise Q4Error(f"decode got tokens of shape {ids.shape}, expected a list of at least one")
        if ids.min() < 0 or ids.max() >= self.config.vocab_size:
            raise Q4Error(
                f"decode got token ids {ids.min()} to {ids.max()}, expected 0 to {self.config.vocab_size - 1}"
            )
        if self.n_past + len(ids) > self.n_ctx:
            raise ContextFullError(self.n_past, len(ids), self.n_ctx)
        with np.errstate(invalid="ignore", over="ignore"):  # what overflows shows in the logits
            logits = self._logits(ids, all_logits)
        if not np.isfinite(logits).all():
            raise Q4Error(f"the logits are not finite (past {self.n_past}, n_eval {len(ids)})")
        self.n_past += len(ids)
        return logits if all_logits else logits[0]

    def _logits(self, ids: np.ndarray, all_logits: bool) -> np.ndarray:
        """[n or 1, vocab]"""
        hidden = self.forward(ids, np.arange(self.n_past, self.n_past + len(ids)))
        hidden = hidden if all_logits else hidden[-1:]
        hidden = rms_norm(hidden, self.weights["output_norm.weight"], self.config.rms_eps)
        output = "token_embd.weight" if self.config.tied_output else "output.weight"
        logits: np.ndarray = hidden @ self.weights[output].T
        return logits


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    """x / sqrt(mean(x²) + eps) · weight, for each row of x [n, dim]."""
    scaled: np.ndarray = x / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + np.float32(eps))
    scaled *= weight
    return scaled


def silu(x: np.ndarray) -> np.ndarray:
    """x · sigmoid(x), by tanh, which cannot overflow."""
    y: np.ndarray = np.float32(0.5) * x * (1 + np.tanh(np.float32(0.5) * x))
    return y


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    weights: np.ndarray = np.exp(x - x.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def inverse_frequencies(config: ModelConfig, weights: Weights) -> np.ndarray:
    """Angle of pair i per position, float64 [rope_dim / 2]: base^(−2i / rope_dim), divided by rope_freqs if any."""
    pairs = np.arange(config.rope_dim // 2, dtype=np.float64)
    frequencies = config.rope_freq_base ** (-2 * pairs / config.rope_dim)
    if config.rope_freqs:
        frequencies = frequencies / weights["rope_freqs.weight"]
    return frequencies


def rope(x: np.ndarray, positions: np.ndarray, frequencies: np.ndarray, style: RopeStyle) -> np.ndarray:
    """Rotate the first rope_dim elements of every head of x [n, heads, head_dim] by position · frequency.

    ``norm`` pairs neighbours (2i, 2i+1), ``neox`` pairs the halves (i, i + rope_dim/2).
    """
    half = len(frequencies)
    angles = positions[:, None] * frequencies  # [n, rope_dim / 2]
    cos = np.cos(angles).astype(np.float32)[:, None, :]
    sin = np.sin(angles).astype(np.float32)[:, None, :]
    if style == "norm":
        first, second = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
    else:
        first, second = slice(0, half), slice(half, 2 * half)
    a, b = x[..., first], x[..., second]
    out = x.copy()
    out[..., first] = a * cos - b * sin
    out[..., second] = a * sin + b * cos
    return out


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Causal attention of q [n, n_heads, head_dim] over k, v [T, n_kv_heads, head_dim].

    Heads come in groups of n_heads / n_kv_heads that share one KV head. Returns [n, n_heads · head_dim].
    """
    n, n_heads, head_dim = q.shape
    group = n_heads // k.shape[1]
    out = np.empty_like(q)
    future = np.arange(len(k)) > positions[:, None]  # [n, T]
    for head in range(n_heads):
        scores = q[:, head] @ k[:, head // group].T / np.float32(np.sqrt(head_dim))  # [n, T]
        scores[future] = -np.inf
        out[:, head] = softmax(scores) @ v[:, head // group]
    return out.reshape(n, n_heads * head_dim)
