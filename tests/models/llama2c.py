"""Imports a llama2.c checkpoint and its tokenizer into a GGUF file of architecture ``llama``.

``python tests/models/llama2c.py stories260K.bin tok512.bin OUT.gguf [--type f32|f16]``

The checkpoint (the headerless "version 0" form) is seven int32: dim, hidden dim, layers, heads, KV heads, vocabulary
size, sequence length; then float32 tensors, each kind for all layers in one run: token embedding, attention norm, wq,
wk, wv, wo, FFN norm, w1 (gate), w2 (down), w3 (up), final norm, two RoPE tables, and the output matrix where the
vocabulary size is negative (a positive one means that output and embedding are tied).
RoPE: llama2.c rotates neighbouring elements (2i, 2i+1) of a head, as GGUF's ``llama`` does, so rows need no permuting.

The tokenizer is an int32 (longest token), then per token: float32 score, int32 length, bytes. Tokens 0 to 2 are
unknown, BOS and EOS, 3 to 258 the bytes ``<0x00>`` to ``<0xFF>``; spaces are spaces, where SPM in GGUF has U+2581.
"""

from __future__ import annotations

import argparse
import struct
import sys
from pathlib import Path

if not __package__:  # run as a script: make the package importable
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from models.spec import ModelSpec, TensorSpec
from models.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, Vocabulary
from models.write import write_model
from q4engine.errors import Q4Error
from q4engine.gguf.types import TensorType

_HEADER = struct.Struct("<7i")
_ROPE_BASE, _RMS_EPS = 10000.0, 1e-5  # constants of llama2.c's source, not stored in the file


def read_checkpoint(path: Path, kind: TensorType) -> tuple[ModelSpec, dict[str, np.ndarray]]:
    """Hyper-parameters and the tensors by their GGUF names, as float32 arrays."""
    raw = path.read_bytes()
    if len(raw) < _HEADER.size:
        raise Q4Error(f"{path}: {len(raw)} bytes, expected a llama2.c checkpoint")
    dim, hidden, n_layers, n_heads, n_kv_heads, signed_vocab, n_ctx = _HEADER.unpack_from(raw)
    if min(dim, hidden, n_layers, n_heads, n_kv_heads, n_ctx, abs(signed_vocab)) <= 0 or dim % n_heads:
        raise Q4Error(f"{path}: the header {_HEADER.unpack_from(raw)} is no llama2.c checkpoint's")
    spec = ModelSpec(
        n_layers=n_layers,
        dim=dim,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=dim // n_heads,
        n_ffn=hidden,
        vocab_size=abs(signed_vocab),
        n_ctx_train=n_ctx,
        tied_output=signed_vocab > 0,
        rope_freq_base=_ROPE_BASE,
        rms_eps=_RMS_EPS,
        weight_type=kind,
        name=path.stem,
    )
    return spec, _split(path, np.frombuffer(raw, "<f4", offset=_HEADER.size, count=(len(raw) - 28) // 4), spec)


def _split(path: Path, values: np.ndarray, spec: ModelSpec) -> dict[str, np.ndarray]:
    """Cut the run of floats into tensors."""
    layers, dim, kv_dim = spec.n_layers, spec.dim, spec.n_kv_heads * spec.head_dim
    rope = (spec.n_ctx_train, spec.head_dim // 2)
    runs: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (spec.vocab_size, dim)),
        ("blk.{}.attn_norm.weight", (layers, dim)),
        ("blk.{}.attn_q.weight", (layers, dim, dim)),
        ("blk.{}.attn_k.weight", (layers, kv_dim, dim)),
        ("blk.{}.attn_v.weight", (layers, kv_dim, dim)),
        ("blk.{}.attn_output.weight", (layers, dim, dim)),
        ("blk.{}.ffn_norm.weight", (layers, dim)),
        ("blk.{}.ffn_gate.weight", (layers, spec.n_ffn, dim)),
        ("blk.{}.ffn_down.weight", (layers, dim, spec.n_ffn)),
        ("blk.{}.ffn_up.weight", (layers, spec.n_ffn, dim)),
        ("output_norm.weight", (dim,)),
        ("(cosines)", rope),
        ("(sines)", rope),
    ]
    if not spec.tied_output:
        runs.append(("output.weight", (spec.vocab_size, dim)))
    expected = sum(int(np.prod(shape)) for _, shape in runs)
    if values.size != expected:
        raise Q4Error(f"{path}: holds {values.size} floats, expected {expected} for its header")
    tensors: dict[str, np.ndarray] = {}
    for name, shape in runs:
        run, values = values[: int(np.prod(shape))].reshape(shape), values[int(np.prod(shape)) :]
        if "{}" in name:
            tensors |= {name.format(layer): run[layer] for layer in range(layers)}
        else:
            tensors[name] = run
    return tensors


def read_tokenizer(path: Path, vocab_size: int) -> Vocabulary:
    """The SPM vocabulary."""
    raw = path.read_bytes()
    tokens: list[str] = []
    scores: list[float] = []
    position = 4
    try:
        for _ in range(vocab_size):
            score, length = struct.unpack_from("<fi", raw, position)
            position += 8 + length
            if length < 0 or position > len(raw):
                raise ValueError
            tokens.append(raw[position - length : position].decode("utf-8").replace(" ", "\u2581"))
            scores.append(score)
    except (struct.error, ValueError):
        raise Q4Error(f"{path}: token {len(tokens)} of {vocab_size} cannot be read") from None
    tokens[:3] = ["<unk>", "<s>", "</s>"]  # llama2.c wraps the last two in newlines
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (vocab_size - 259)
    if tokens[3:259] != [f"<0x{byte:02X}>" for byte in range(256)]:
        raise Q4Error(f"{path}: tokens 3 to 258 are not the bytes <0x00> to <0xFF>")
    return Vocabulary("llama", tokens, types, bos=1, eos=2, pre="default", scores=scores, add_bos=True)


def import_llama2c(checkpoint: Path, tokenizer: Path, out: Path, kind: TensorType = TensorType.F32) -> Path:
    """Write ``out``; matrices become ``kind`` (F32 or F16), vectors stay F32."""
    spec, tensors = read_checkpoint(checkpoint, kind)
    vocabulary = read_tokenizer(tokenizer, spec.vocab_size)

    def tensor_bytes(tensor: TensorSpec) -> np.ndarray:
        values = np.ascontiguousarray(tensors[tensor.name], np.float16 if tensor.type is TensorType.F16 else np.float32)
        return values.view(np.uint8)

    write_model(out, spec, vocabulary, tensor_bytes)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", choices=["f32", "f16"], default="f32", help="type of the matrices")
    args = parser.parse_args()
    try:
        import_llama2c(args.checkpoint, args.tokenizer, args.out, TensorType[args.type.upper()])
    except (Q4Error, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
