"""Whole models of every architecture and tensor type, their bytes changed; what loads is asked for tokens."""

from __future__ import annotations

import random
from pathlib import Path

from bits import SPECS
from models.tiny import TINY, write_tiny

from fuzz.harness import Folder
from fuzz.mutations import mutated_bytes
from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.gguf.types import USABLE_TYPES


class ModelFiles:
    """The models are those that the golden bits are taken of, and one of every tensor type."""

    refused = (Q4Error,)

    def __init__(self) -> None:
        self._folder = Folder()
        folder = Path(self._folder.name)
        self._path = folder / "case.gguf"
        specs = [*TINY.values(), *(spec for spec in SPECS.values() if spec.dim <= 256)]
        specs += [
            spec.with_changes(weight_type=kind, dim=256, n_heads=8, head_dim=32, n_ffn=256, n_layers=1)
            for spec in list(TINY.values())[:1]
            for kind in sorted(USABLE_TYPES)
        ]
        self._models = [write_tiny(folder / "model.gguf", spec).read_bytes() for spec in specs]

    def case(self, rng: random.Random) -> None:
        content = rng.choice(self._models)
        head = rng.choice((200, 2000, 8000, len(content)))  # metadata and tensor table, or weights too
        self._path.unlink(missing_ok=True)
        self._path.write_bytes(mutated_bytes(content[:head], rng, 3) + content[head:])
        with Engine.load(self._path, n_threads=rng.choice((1, 1, 2))) as engine:
            ids = engine.tokenizer.encode("Hello é", most=50)
            session = engine.session(n_ctx=64, n_batch=8)
            session.decode(ids or [0])
            session.decode([rng.randrange(len(engine.tokenizer))])
