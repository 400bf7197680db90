"""GGUF files: lies in every field, and the bytes of whole models changed; what opens is run."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import gguf_bytes
from gguf_bytes import ARRAY, STRING, U64, File, Tensor, array, pair
from models.tiny import TINY_LLAMA, TINY_QWEN2, write_tiny

from fuzz.mutations import NUMBERS, mutated_bytes
from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.gguf.metadata import GGUFArray
from q4engine.tokenizer import Tokenizer

_KEYS = ("general.architecture", "llama.block_count", "general.alignment", "tokenizer.ggml.tokens", "k", "")
_TEXTS = ("llama", "qwen2", "", "a\0b", "é" * 50, "x" * 5000)


class ModelFiles:
    """A tenth of the cases are changed models, which are loaded and asked for a token."""

    refused = (Q4Error,)

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="q4-fuzz-")
        folder = Path(self._folder.name)
        specs = {"llama": TINY_LLAMA, "qwen2": TINY_QWEN2}
        self._models = [write_tiny(folder / f"{name}.gguf", spec).read_bytes() for name, spec in specs.items()]
        self._path = folder / "case.gguf"

    def case(self, rng: random.Random) -> None:
        whole = rng.random() < 0.1
        content = self._changed_model(rng) if whole else self._made(rng)
        self._path.unlink(missing_ok=True)
        self._path.write_bytes(content)
        if whole:
            with Engine.load(self._path, n_threads=rng.choice((1, 2))) as engine:
                ids = engine.tokenizer.encode("Hello é", most=50)
                engine.session(n_ctx=64, n_batch=8).decode(ids or [0])
        else:
            with GGUFFile.open(self._path) as file:
                _walk(file)

    def _changed_model(self, rng: random.Random) -> bytes:
        content = rng.choice(self._models)
        head = rng.choice((200, 2000, len(content)))  # metadata and tensor table, or weights too
        return mutated_bytes(content[:head], rng, 3) + content[head:]

    def _made(self, rng: random.Random) -> bytes:
        made = File(
            pairs=[_pair(rng) for _ in range(rng.randrange(6))],
            tensors=[_tensor(rng) for _ in range(rng.randrange(5))],
            data_bytes=rng.choice((0, 96, 255)),
        )
        if rng.random() < 0.2:
            made.n_pairs = rng.choice(NUMBERS)
        if rng.random() < 0.2:
            made.n_tensors = rng.choice(NUMBERS)
        content = made.build() + bytes(rng.choice((0, 0, 4096)))
        return mutated_bytes(content, rng, 3) if rng.random() < 0.6 else content


def _walk(file: GGUFFile) -> None:
    """Everything that a file says is looked at."""
    for value in file.metadata.values():
        if isinstance(value, GGUFArray):
            value.to_list(1000)
    for info in file.tensors.values():
        if info.type.usable:
            assert info.data.nbytes == info.n_bytes
    Tokenizer.from_gguf(file).encode("Hello é", add_bos=False, most=1000)


def _pair(rng: random.Random) -> bytes:
    key = rng.choice(_KEYS)
    kind = rng.randrange(ARRAY + 4)
    if kind == STRING:
        return pair(key, STRING, rng.choice(_TEXTS))
    if kind == ARRAY:
        values: list[object] = [rng.choice(_TEXTS) for _ in range(rng.randrange(5))]
        return array(key, STRING, values, rng.choice((None, None, *NUMBERS)))
    if kind in (gguf_bytes.F32, gguf_bytes.F64):
        return pair(key, kind, rng.choice((0.0, -1.5, float("nan"), float("inf"))))
    if kind == U64:
        return pair(key, U64, rng.choice(NUMBERS))
    return pair(key, gguf_bytes.U32, rng.choice(NUMBERS) & 0xFFFFFFFF)


def _tensor(rng: random.Random) -> Tensor:
    dims = tuple(rng.choice((1, 2, 8, 32, 64, 256, *NUMBERS)) for _ in range(rng.choice((1, 2, 2, 2, 3, 4))))
    return Tensor(
        rng.choice(("one", "two", "token_embd.weight", "", "x" * 300)),
        dims,
        rng.choice((0, 1, 2, 3, 6, 8, 14, 30, 99)),
        rng.choice((0, 64, 96, 1, *NUMBERS)) & (1 << 64) - 1,
    )
