"""Synthetic captures of two engines on the same model: the same work under other names, in other parts.

Nothing here was measured. Each layer is a list of (operation, tensor, microseconds); a tensor stands without its layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Step = tuple[str, str, float]

OURS: tuple[Step, ...] = (
    ("rms_norm", "attn_norm", 1),
    ("quantize_activations", "", 2),
    ("gemv", "attn_q+attn_k+attn_v", 30),
    ("rope", "", 0),
    ("kv_store", "", 3),
    ("attention", "", 5),
    ("quantize_activations", "", 1),
    ("gemv", "attn_output", 10),
    ("rms_norm", "ffn_norm", 1),
    ("quantize_activations", "", 1),
    ("gemv", "ffn_gate+ffn_up", 60),
    ("swiglu", "", 4),
    ("quantize_activations", "", 3),
    ("gemv", "ffn_down", 30),
)
THEIRS: tuple[Step, ...] = (
    ("rms_norm", "attn_norm", 2),
    ("gemv", "attn_q", 20),
    ("rope", "", 2),
    ("gemv", "attn_k", 8),
    ("rope", "", 1),
    ("gemv", "attn_v", 9),
    ("kv_store", "", 1),
    ("kv_store", "", 1),
    ("attention", "", 4),
    ("gemv", "attn_output", 12),
    ("add", "", 1),
    ("rms_norm", "ffn_norm", 2),
    ("gemv", "ffn_gate", 33),
    ("gemv", "ffn_up", 31),
    ("swiglu", "", 5),
    ("gemv", "ffn_down", 36),
    ("add", "", 1),
)
LAYER = {
    "attn_q+attn_k+attn_v": (32, 37),
    "kv_store": (3, 5),
    "attention": (5, 4),
    "attn_output": (11, 13),
    "rms_norm": (2, 4),
    "ffn_gate+ffn_up": (61, 64),
    "swiglu": (4, 5),
    "ffn_down": (33, 37),
}
"""Microseconds of a layer's kinds in both: rounding counts to the product behind it, RoPE to the store of the cache, an
addition to the product before it, since one of the two does them on the way."""
OUTPUT = (50, 55)
"""Microseconds of the output matrix, which the one calls by its name and the other by the table's."""


def write(
    path: Path,
    layer: Sequence[Step],
    last: Step,
    *,
    engine: str = "",
    threads: int = 2,
    n_layers: int = 3,
    n_calls: int = 12,
    tokens: int = 1,
) -> Path:
    """A per-operation capture, all calls alike but for a wobble that sums to nothing. engine: of the header."""
    keys = {"format_version": 1, "emulated": "no", "counters": "none", "clock": "CLOCK_MONOTONIC_RAW"}
    keys |= {"model": "synthetic", "n_threads": threads, **({"engine": engine} if engine else {})}
    lines = ["# q4engine capture", *(f"# {key}: {value}" for key, value in keys.items())]
    lines.append("call,phase,n_past,n_eval,op,layer,tensor,type,shape,weight_bytes,thread,start_ns,duration_ns")
    now = 1_000_000
    for call in range(n_calls):
        scale = 1000 + (call % 3 - 1) * 10
        start, rows = now, []
        steps = [(step, str(number)) for number in range(n_layers) for step in layer]
        for (op, tensor, microseconds), number in [*steps, (last, "")]:
            names = "+".join(f"blk.{number}.{part}.weight" if number else part for part in tensor.split("+") if part)
            took = round(microseconds * scale)
            weight = "Q4_0,64x64,2304" if op == "gemv" else ",,"
            head = f"{call},decode,{call * tokens},{tokens},{op},{number},{names},{weight}"
            rows += [f"{head},{thread},{now},{took}" for thread in range(threads)]
            now += took
        lines += [f"{call},decode,{call * tokens},{tokens},,,,,,,,{start},{now - start}", *rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pair(folder: Path) -> tuple[Path, Path]:
    """A capture of each engine."""
    return (
        write(folder / "synthetic-ours.csv", OURS, ("gemv", "output.weight", OUTPUT[0])),
        write(folder / "synthetic-theirs.csv", THEIRS, ("gemv", "token_embd", OUTPUT[1]), engine="llama.cpp"),
    )
