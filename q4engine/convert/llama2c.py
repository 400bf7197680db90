"""llama2.c checkpoints with their tokenizer, as models of architecture ``llama``.

The checkpoint (the headerless "version 0" form) is seven int32: dim, hidden dim, layers, heads, KV heads, vocabulary
size, sequence length; then float32 tensors, each kind for all layers in one run: token embedding, attention norm, wq,
wk, wv, wo, FFN norm, w1 (gate), w2 (down), w3 (up), final norm, two RoPE tables, and the output matrix where the
vocabulary size is negative (a positive one means that output and embedding are one).
RoPE: llama2.c rotates neighbouring elements (2i, 2i+1) of a head, as GGUF's ``llama`` does, so rows need no permuting.

The tokenizer is an int32 (longest token), then per token: float32 score, int32 length, bytes. Tokens 0 to 2 are
unknown, BOS and EOS, 3 to 258 the bytes ``<0x00>`` to ``<0xFF>``; spaces are spaces, where SPM in GGUF has U+2581.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from q4engine.convert.conversion import Conversion, SourceTensor
from q4engine.convert.json_file import file_bytes
from q4engine.errors import Q4Error, shown
from q4engine.gguf import TensorType
from q4engine.gguf.types import ValueType
from q4engine.gguf.write import array_pair, pair
from q4engine.tokenizer.spm import SPACE
from q4engine.tokenizer.vocabulary import MOST_TOKENS, TokenType

_HEADER = struct.Struct("<7i")
_FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
_ROPE_BASE, _RMS_EPS = 10000.0, 1e-5  # constants of llama2.c's source, not stored in the file
_LARGEST = 1 << 24  # of a header's fields; products of them stay far below what Python or NumPy mind
_LARGEST_OF = {"n_layers": 1 << 12, "vocab_size": MOST_TOKENS}  # nine tensors each, and a token each
_LARGEST_TOKENIZER = 1 << 24
_VERSIONED = 0x616B3432  # "ak42": the forms with a header of their own


def read_llama2c(checkpoint: Path, tokenizer: Path) -> Conversion:
    """A checkpoint and its ``tokenizer.bin``. Q4Error names the file and what is wrong with it."""
    dim, hidden, n_layers, n_heads, n_kv_heads, signed_vocab, n_ctx = header = _read_header(checkpoint)
    runs = _runs(header)
    n_floats = sum(math.prod(shape) for _, shape in runs)
    found = checkpoint.stat().st_size - _HEADER.size
    if found != 4 * n_floats:
        raise Q4Error(
            f"{checkpoint}: has {found} bytes after its header, expected {4 * n_floats} for "
            + ", ".join(f"{name} {value}" for name, value in zip(_FIELDS, header, strict=True))
        )
    values = np.memmap(checkpoint, "<f4", "r", _HEADER.size, n_floats)
    pairs = [
        pair("general.architecture", ValueType.STRING, "llama"),
        pair("general.name", ValueType.STRING, checkpoint.stem),
        pair("llama.block_count", ValueType.UINT32, n_layers),
        pair("llama.context_length", ValueType.UINT32, n_ctx),
        pair("llama.embedding_length", ValueType.UINT32, dim),
        pair("llama.feed_forward_length", ValueType.UINT32, hidden),
        pair("llama.attention.head_count", ValueType.UINT32, n_heads),
        pair("llama.attention.head_count_kv", ValueType.UINT32, n_kv_heads),
        pair("llama.attention.layer_norm_rms_epsilon", ValueType.FLOAT32, _RMS_EPS),
        pair("llama.rope.freq_base", ValueType.FLOAT32, _ROPE_BASE),
        pair("llama.rope.dimension_count", ValueType.UINT32, dim // n_heads),
        pair("llama.vocab_size", ValueType.UINT32, abs(signed_vocab)),
        *_read_tokenizer(tokenizer, abs(signed_vocab)),
    ]
    return Conversion(pairs, _split(checkpoint, values, runs, n_layers))


def _read_header(path: Path) -> tuple[int, ...]:
    try:
        with path.open("rb") as file:
            raw = file.read(_HEADER.size)
    except OSError as error:
        raise Q4Error(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) < _HEADER.size:
        raise Q4Error(f"{path}: has {len(raw)} bytes, expected a llama2.c checkpoint")
    header = _HEADER.unpack(raw)
    if header[0] == _VERSIONED:
        raise Q4Error(f"{path}: is a llama2.c checkpoint of version {header[1]}, expected one of the legacy form")
    for name, value in zip(_FIELDS, header, strict=True):
        if not 1 <= (abs(value) if name == "vocab_size" else value) <= _LARGEST_OF.get(name, _LARGEST):
            raise Q4Error(f"{path}: is no llama2.c checkpoint: its header says {name} {value}")
    dim, _, _, n_heads, n_kv_heads, _, _ = header
    if dim % n_heads or n_heads % n_kv_heads:
        raise Q4Error(f"{path}: {n_heads} heads and {n_kv_heads} KV heads do not divide a dim of {dim}")
    return header


def _runs(header: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """The tensors as they lie in the file, those of all layers as one; names in parentheses are left out."""
    dim, hidden, layers, n_heads, n_kv_heads, signed_vocab, n_ctx = header
    kv_dim = n_kv_heads * (dim // n_heads)
    runs: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (abs(signed_vocab), dim)),
        ("blk.{}.attn_norm.weight", (layers, dim)),
        ("blk.{}.attn_q.weight", (layers, dim, dim)),
        ("blk.{}.attn_k.weight", (layers, kv_dim, dim)),
        ("blk.{}.attn_v.weight", (layers, kv_dim, dim)),
        ("blk.{}.attn_output.weight", (layers, dim, dim)),
        ("blk.{}.ffn_norm.weight", (layers, dim)),
        ("blk.{}.ffn_gate.weight", (layers, hidden, dim)),
        ("blk.{}.ffn_down.weight", (layers, dim, hidden)),
        ("blk.{}.ffn_up.weight", (layers, hidden, dim)),
        ("output_norm.weight", (dim,)),
        ("(cosines)", (n_ctx, dim // n_heads // 2)),
        ("(sines)", (n_ctx, dim // n_heads // 2)),
    ]
    if signed_vocab < 0:
        runs.append(("output.weight", (-signed_vocab, dim)))
    return runs


def _split(
    path: Path, values: np.ndarray, runs: list[tuple[str, tuple[int, ...]]], n_layers: int
) -> list[SourceTensor]:
    tensors: list[SourceTensor] = []

    def add(name: str, part: np.ndarray) -> None:
        where = f"{path}: tensor {shown(name)}"
        tensors.append(SourceTensor(name, part.shape, TensorType.F32, lambda: part, where))

    start = 0
    for name, shape in runs:
        run = values[start : start + math.prod(shape)].reshape(shape)
        start += run.size
        if "{}" in name:
            for layer in range(n_layers):
                add(name.format(layer), run[layer])
        elif not name.startswith("("):
            add(name, run)
    return tensors


def _read_tokenizer(path: Path, vocab_size: int) -> list[bytes]:
    raw = file_bytes(path, _LARGEST_TOKENIZER)
    tokens: list[str] = []
    scores: list[float] = []
    position = 4
    try:
        for _ in range(vocab_size):
            score, length = struct.unpack_from("<fi", raw, position)
            position += 8 + length
            if length < 0 or position > len(raw):
                raise ValueError
            tokens.append(raw[position - length : position].decode("utf-8").replace(" ", SPACE))
            scores.append(score)
    except (struct.error, ValueError):
        raise Q4Error(f"{path}: token {len(tokens)} of {vocab_size} cannot be read") from None
    if position != len(raw):
        raise Q4Error(f"{path}: has {len(raw) - position} bytes after token {vocab_size - 1}, the checkpoint's last")
    if tokens[3:259] != [f"<0x{byte:02X}>" for byte in range(256)]:
        raise Q4Error(f"{path}: tokens 3 to 258 are not the bytes <0x00> to <0xFF>")
    tokens[:3] = ["<unk>", "<s>", "</s>"]  # llama2.c wraps the last two in newlines
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    types += [TokenType.BYTE] * 256 + [TokenType.NORMAL] * (vocab_size - 259)
    key = "tokenizer.ggml."
    return [
        pair(key + "model", ValueType.STRING, "llama"),
        pair(key + "pre", ValueType.STRING, "default"),
        array_pair(key + "tokens", ValueType.STRING, tokens),
        array_pair(key + "scores", ValueType.FLOAT32, scores),
        array_pair(key + "token_type", ValueType.INT32, types),
        pair(key + "bos_token_id", ValueType.UINT32, 1),
        pair(key + "eos_token_id", ValueType.UINT32, 2),
        pair(key + "add_bos_token", ValueType.BOOL, True),
    ]
