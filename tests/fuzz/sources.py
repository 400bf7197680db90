"""What `convert` reads: folders of Hugging Face's form and llama2.c checkpoints, a file of them changed."""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path
from typing import Any

from hf_folders import write_folder
from llama2c_files import checkpoint, tokenizer
from models.tiny import TINY, write_tiny
from sentencepiece_bytes import pieces

from fuzz.harness import Folder
from fuzz.mutations import NUMBERS, mutated_bytes, mutated_text
from q4engine.convert.conversion import write_gguf
from q4engine.convert.hugging_face import read_folder
from q4engine.convert.llama2c import read_llama2c
from q4engine.convert.sentencepiece_model import read_pieces
from q4engine.errors import Q4Error

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, float("nan"), 10**400, "", "a", "x" * 5000, "\ud800", "\x1b[2J", [], {}, [[]],
    {"a": {}}, ["a"] * 300, [1, "2", None],
)  # fmt: skip


class Sources:
    """A model on its way to GGUF, which appears whole or not at all."""

    refused = (Q4Error,)

    def __init__(self) -> None:
        self._folder = Folder()
        self._path = Path(self._folder.name)
        self._out = self._path / "out.gguf"
        self._models: list[dict[str, bytes]] = []
        for name in ("llama", "qwen2"):
            folder = write_folder(write_tiny(self._path / "tiny.gguf", TINY[name]), self._path / name)
            self._models.append({path.name: path.read_bytes() for path in folder.iterdir()})
            shutil.rmtree(folder)
        self._case = self._path / "case"
        self._case.mkdir()
        checkpoint(self._path / "m.bin")
        self._checkpoint = {
            "m.bin": (self._path / "m.bin").read_bytes(), "t.bin": tokenizer(self._path / "t.bin").read_bytes()
        }  # fmt: skip
        self._pieces = pieces()

    def case(self, rng: random.Random) -> None:
        what = rng.random()
        if what < 0.3:
            self._write(self._checkpoint, rng)
            write_gguf(self._out, read_llama2c(self._case / "m.bin", self._case / "t.bin"), None)
        elif what < 0.5:
            self._write({"tokenizer.model": self._pieces}, rng)
            read_pieces(self._case / "tokenizer.model")
        else:
            self._write(rng.choice(self._models), rng)
            write_gguf(self._out, read_folder(self._case), None)

    def _write(self, files: dict[str, bytes], rng: random.Random) -> None:
        changed = rng.choice(sorted(files))
        for path in self._case.iterdir():
            path.unlink()
        for name, content in files.items():
            (self._case / name).write_bytes(_changed(name, content, rng) if name == changed else content)


def _changed(name: str, content: bytes, rng: random.Random) -> bytes:
    if not name.endswith(".json") or rng.random() < 0.1:
        head = rng.choice((64, 1000, len(content)))
        return mutated_bytes(content[:head], rng, 3) + content[head:]
    if rng.random() < 0.1:
        return mutated_text(content.decode(), rng, 2).encode("utf-8", "replace")
    whole = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        _change(whole, rng)
    return json.dumps(whole).encode()


def _change(value: Any, rng: random.Random) -> None:
    """Somewhere in it, a value becomes another, goes, or comes twice."""
    while isinstance(value, dict | list) and value:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(keys)
        inner = value[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.7:
            value = inner
            continue
        what = rng.random()
        if what < 0.2:
            del value[key]
        elif what < 0.3 and isinstance(value, list):
            value.append(copy.deepcopy(inner))
        else:
            value[key] = copy.deepcopy(rng.choice((rng.choice(_VALUES), rng.choice(NUMBERS))))
        return
