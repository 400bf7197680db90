"""GGUF files with lies in every field; what opens is looked at from end to end."""

from __future__ import annotations

import functools
import random
from pathlib import Path

import gguf_bytes
from gguf_bytes import ARRAY, STRING, U64, File, Tensor, array, pair
from models.vocabulary import byte_symbols

from fuzz.harness import Folder
from fuzz.mutations import NUMBERS, mutated_bytes
from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.gguf.metadata import GGUFArray
from q4engine.tokenizer import Tokenizer

_SKELETONS = 1 << 14  # that cases start from; each is changed in its own way
_NAMES = ("one", "two", "token_embd.weight", "x" * 64, "é", "blk.0.attn_q.weight")
_KEYS = (
    "general.architecture", "llama.block_count", "general.alignment", "tokenizer.ggml.eos_token_id", "k", "long " * 20,
)  # fmt: skip
_TEXTS = ("llama", "qwen2", "", "a\0b", "é" * 50, "x" * 5000)
_VOCABULARY = [
    pair("tokenizer.ggml.model", STRING, "gpt2"),
    array("tokenizer.ggml.tokens", STRING, [*byte_symbols(), "He", "<end>"]),
    array("tokenizer.ggml.token_type", gguf_bytes.I32, [1] * 257 + [3]),
    array("tokenizer.ggml.merges", STRING, ["H e"]),
]


class GgufFiles:
    """The reader alone, so that many cases go into a second."""

    refused = (Q4Error,)

    def __init__(self) -> None:
        self._folder = Folder()
        self._path = Path(self._folder.name) / "case.gguf"

    def case(self, rng: random.Random) -> None:
        content = _skeleton(rng.randrange(_SKELETONS))
        if rng.random() < 0.6:
            content = mutated_bytes(content, rng, 3)
        self._path.write_bytes(content)
        with GGUFFile.open(self._path) as file:
            _walk(file)


def _walk(file: GGUFFile) -> None:
    """Everything that a file says is looked at."""
    for value in file.metadata.values():
        if isinstance(value, GGUFArray):
            value.to_list(1000)
    for info in file.tensors.values():
        if info.type.usable:
            assert info.data.nbytes == info.n_bytes
    Tokenizer.from_gguf(file).encode("Hello é", add_bos=False, most=1000)


@functools.cache
def _skeleton(number: int) -> bytes:
    """A file that is right, or nearly so."""
    rng = random.Random(number)
    lies = rng.choice((0.0, 0.0, 0.05, 0.3))
    keys = rng.sample(_KEYS, rng.randrange(6)) if lies < 0.3 else rng.choices(_KEYS, k=rng.randrange(6))
    pairs = [_pair(rng, key, lies) for key in keys]
    tensors, at = [], 0
    for name in rng.sample(_NAMES, rng.randrange(5)):
        tensors.append(_tensor(rng, name, at, lies))
        at += 256
    made = File(
        pairs=[*pairs, *_VOCABULARY] if rng.random() < 0.7 else pairs,
        tensors=tensors,
        data_bytes=rng.choice((0, 96, 255)) if rng.random() < lies else 255,
    )
    if rng.random() < lies:
        made.n_pairs = rng.choice(NUMBERS)
    if rng.random() < lies:
        made.n_tensors = rng.choice(NUMBERS)
    return made.build() + bytes(at)


def _pair(rng: random.Random, key: str, lies: float) -> bytes:
    kind = rng.randrange(ARRAY + 4)
    if key == "general.alignment" and rng.random() >= lies:
        return pair(key, gguf_bytes.U32, 32)
    if kind == STRING:
        return pair(key, STRING, rng.choice(_TEXTS))
    if kind == ARRAY:
        values: list[object] = [rng.choice(_TEXTS) for _ in range(rng.randrange(5))]
        return array(key, STRING, values, rng.choice(NUMBERS) if rng.random() < lies else None)
    if kind in (gguf_bytes.F32, gguf_bytes.F64):
        return pair(key, kind, rng.choice((0.0, -1.5, float("nan"), float("inf"))))
    if kind == U64:
        return pair(key, U64, rng.choice(NUMBERS))
    return pair(key, gguf_bytes.U32, rng.choice(NUMBERS) & 0xFFFFFFFF)


def _tensor(rng: random.Random, name: str, at: int, lies: float) -> Tensor:
    """Of at most 256 bytes where it is right."""
    kind = rng.choice((0, 1, 2, 3, 6, 8, 24, 30))
    dims: tuple[int, ...] = rng.choice(((32,), (32, 1), (32, 2), (32, 1, 1), (32, 1, 2)))
    if rng.random() < lies:
        dims = tuple(rng.choice((1, 2, 8, 32, 64, 256, *NUMBERS)) for _ in range(rng.choice((1, 2, 2, 2, 3, 4))))
    if rng.random() < lies:
        kind, at = rng.choice((*range(40), 99)), rng.choice((0, 64, 96, 1, *NUMBERS)) & (1 << 64) - 1
    return Tensor(name, dims, kind, at)
