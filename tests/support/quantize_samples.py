"""Rows to quantise and the hashes of what must come out, on the host and on every emulated CPU."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from gguf_bytes import STRING, File, Tensor, array, pair

from q4engine.gguf import TensorType
from q4engine.gguf.mixtures import TARGETS
from q4engine.gguf.quantize_file import quantize_file, quantize_rows

BLOCK_TYPES = [
    TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1, TensorType.Q8_0, TensorType.Q3_K,
    TensorType.Q6_K, TensorType.IQ4_NL, TensorType.IQ4_XS,
]  # fmt: skip
LINE_TYPES = [TensorType.Q2_K, TensorType.Q4_K, TensorType.Q5_K]
"""Those with scales and minima that are themselves quantised: no block is held exactly."""

ROWS_SHA256 = {
    TensorType.Q4_0: "8db744962e48fb67",
    TensorType.Q4_1: "2103d86e72a35903",
    TensorType.Q5_0: "87708856c70a2c0c",
    TensorType.Q5_1: "f9b8d05537486029",
    TensorType.Q8_0: "a48361fcf0c1cbae",
    TensorType.Q6_K: "eddf0f647cdd014c",
    TensorType.Q2_K: "1f9af3641b4706a1",
    TensorType.Q3_K: "e595de40cd37dd7c",
    TensorType.Q4_K: "d06378036c690496",
    TensorType.Q5_K: "dab9ddc2e2369cba",
    TensorType.IQ4_NL: "4efdeab5bba4eff8",
    TensorType.IQ4_XS: "af42a485caf15180",
}
"""First digits of rows_sha256. A change to the search changes them, knowingly."""

WEIGHED_SHA256 = "a8b9412cb773986d"
"""First digits of weighed_sha256."""

FILE_SHA256 = {
    "q4_0": "bea540e39801c3f4",
    "q4_1": "456396386dd198e5",
    "q8_0": "982ce5913dbc075e",
    "q5_0": "01d0f6cfcbbc765b",
    "q5_1": "da7580dfb00bd3d9",
    "q2_k": "05a2d8700a693385",
    "q3_k_m": "32ba57c00554f132",
    "q4_k_s": "27f1fd3250c686e4",
    "q4_k_m": "00a451bcaf24f030",
    "q5_k_s": "609a3ef222e6c485",
    "q5_k_m": "35252a9fab9e995b",
    "q6_k": "652957fa3ff137fc",
    "iq4_nl": "5a02a98c56e6a3e6",
    "iq4_xs": "47ab56a708210f49",
    "f16": "c3f103087899e2c7",
}
"""First digits of file_sha256."""


def samples(n_rows: int, columns: int, seed: int = 5) -> dict[str, np.ndarray]:
    """Rows of several kinds, made of exact operations on integers alone, without negative zeros.

    (Which of 0 and −0 is the smallest value of a block, NumPy leaves open, and with it a bit of gguf's Q4_1.)
    """
    rng = np.random.default_rng(seed)
    dice = rng.integers(-1000, 1001, (4, n_rows, columns)).astype(np.float32)
    bell = dice.sum(axis=0) / np.float32(1 << 12)
    cubed = bell * bell * bell
    sparse = np.where(dice[0] > 700, bell, np.float32(0)) + np.float32(0)
    return {"bell": bell, "heavy": cubed, "one side": np.abs(bell) + 3, "sparse": sparse}


def rows_sha256(kind: TensorType, importance: np.ndarray | None = None) -> str:
    """Of the searched bytes of all samples."""
    digest = hashlib.sha256()
    for rows in samples(32, 512).values():
        digest.update(quantize_rows(rows, kind, importance=importance).tobytes())
    return digest.hexdigest()[:16]


def weighed_sha256() -> str:
    """Of all types' rows, with an importance of the columns."""
    importance = (1 + np.arange(512, dtype=np.float32) % 37) / np.float32(64)
    return hashlib.sha256("".join(rows_sha256(kind, importance) for kind in ROWS_SHA256).encode()).hexdigest()[:16]


def file_sha256(folder: Path, target: str) -> str:
    """Of a small synthetic file, quantised."""
    shapes = {"token_embd.weight": (40, 256), "a.weight": (24, 64), "b.weight": (8, 172), "c_norm.weight": (64,)}
    tensors, data = [], b""
    for name, shape in shapes.items():
        tensors.append(Tensor(name, tuple(reversed(shape)), TensorType.F32, len(data)))
        rows = samples(shape[0] if len(shape) > 1 else 1, shape[-1])["heavy"]
        data += rows.tobytes() + b"\0" * (-rows.nbytes % 32)
    pairs = [pair("general.architecture", STRING, "synthetic"), array("words", STRING, ["a", "é", ""])]
    (folder / "in.gguf").write_bytes(File(pairs=pairs, tensors=tensors, data_bytes=0).build() + data)
    quantize_file(folder / "in.gguf", folder / "out.gguf", TARGETS[target])
    return hashlib.sha256((folder / "out.gguf").read_bytes()).hexdigest()[:16]
