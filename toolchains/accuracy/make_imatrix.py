"""Makes an importance matrix: for each matrix the sums of squares of what it is multiplied with, over a text.

    python toolchains/accuracy/make_imatrix.py MODEL.gguf TEXT.txt OUT [-c 512] [--windows 8]

OUT is what ``llama-imatrix`` would write, in GGUF, or in its older form where the name ends in .dat. The activations
are those of the NumPy reference, in float32, which takes about a second a window and 100 million weights. `q4engine
quantize --imatrix OUT` weighs errors by it.
"""

from __future__ import annotations

import argparse
import struct
from pathlib import Path

import numpy as np

from q4engine.engine import Engine
from q4engine.gguf.types import TensorType, ValueType
from q4engine.gguf.write import GGUFWriter, NewTensor, array_pair, pair, uint32_pair
from q4engine.models.graph import Op
from q4engine.reference import forward
from q4engine.scoring import text_tokens

Sums = dict[str, tuple[np.ndarray, int]]


def collect(engine: Engine, ids: list[int], n_ctx: int, n_windows: int) -> Sums:
    """By the tensor's name: sums of squares a column, float32, and the number of tokens that they are of."""
    found: Sums = {}
    product = forward.OPERATIONS["matmul"]

    def watched(call: forward.Call, op: Op) -> None:
        x = call.rows(op, "source").astype(np.float64)
        for tensor in call.graph.weights[op.index("weight")]:
            columns = tensor.shape[-1]
            sums, count = found.get(tensor.name, (np.zeros(columns, np.float64), 0))
            found[tensor.name] = sums + np.square(x[:, :columns]).sum(axis=0), count + len(x)
        product(call, op)

    forward.OPERATIONS["matmul"] = watched
    try:
        for window in range(min(n_windows, len(ids) // n_ctx)):
            _evaluate(engine, ids[window * n_ctx : (window + 1) * n_ctx])
            print(f"window {window + 1}", flush=True)
    finally:
        forward.OPERATIONS["matmul"] = product
    return {name: (sums.astype(np.float32), count) for name, (sums, count) in sorted(found.items())}


def _evaluate(engine: Engine, window: list[int]) -> None:
    """With all logits, since else the last layer serves the last token alone."""
    engine.session(n_ctx=len(window), n_batch=len(window)).decode(window, all_logits=True)


def write_gguf(path: Path, found: Sums, n_ctx: int, n_chunks: int, text: str) -> None:
    pairs = [
        pair("general.type", ValueType.STRING, "imatrix"),
        array_pair("imatrix.datasets", ValueType.STRING, [text]),
        uint32_pair("imatrix.chunk_count", n_chunks),
        uint32_pair("imatrix.chunk_size", n_ctx),
    ]
    table = []
    for name, (sums, _) in found.items():
        table.append(NewTensor(f"{name}.in_sum2", TensorType.F32, (1, len(sums))))
        table.append(NewTensor(f"{name}.counts", TensorType.F32, (1, 1)))
    with GGUFWriter(path, pairs, table) as writer:
        for sums, count in found.values():
            writer.write(sums)
            writer.write(np.asarray([count], np.float32))


def write_legacy(path: Path, found: Sums, n_chunks: int, text: str) -> None:
    parts = [struct.pack("<i", len(found))]
    for name, (sums, count) in found.items():
        raw, means = name.encode(), sums / np.float32(count) * np.float32(n_chunks)
        parts += [struct.pack("<i", len(raw)), raw, struct.pack("<ii", n_chunks, len(means)), means.tobytes()]
    raw = text.encode()
    parts.append(struct.pack("<ii", n_chunks, len(raw)) + raw)
    path.write_bytes(b"".join(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path, help="plain text")
    parser.add_argument("out", type=Path)
    parser.add_argument("-c", "--ctx-size", type=int, default=512)
    parser.add_argument("--windows", type=int, default=8)
    args = parser.parse_args()
    with Engine.load(args.model, backend="numpy") as engine:
        ids = text_tokens(engine.tokenizer, args.text.read_text(encoding="utf-8"))
        found = collect(engine, ids, args.ctx_size, args.windows)
    n_chunks = min(args.windows, len(ids) // args.ctx_size)
    if args.out.suffix == ".dat":
        write_legacy(args.out, found, n_chunks, args.text.name)
    else:
        write_gguf(args.out, found, args.ctx_size, n_chunks, args.text.name)
    print(f"{args.out}: {len(found)} tensors, {n_chunks} windows of {args.ctx_size}")


if __name__ == "__main__":
    main()
