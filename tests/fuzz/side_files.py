"""Files beside models and captures: importance matrices, prompt caches, records of watched programs."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path

import numpy as np
from accuracy.make_imatrix import write_gguf, write_legacy
from models.tiny import write_tiny
from watch_record_bytes import INPUT, PRODUCT, WEIGHT, block, call, end, entry, head, look, node, op_count, operation

from fuzz.harness import Folder
from fuzz.mutations import NUMBERS, mutated_bytes
from q4engine import prompt_cache
from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.gguf.imatrix import ImportanceMatrix
from q4engine.profiling.counters import SOFTWARE, Counters, Group
from q4engine.watch import outputs, records


class SideFiles:
    """One of the three kinds a case."""

    refused = (Q4Error,)

    def __init__(self) -> None:
        self._folder = Folder()
        folder = Path(self._folder.name)
        self._path, self._out = folder / "case", folder / "out"
        found = {"blk.0.attn_q.weight": (np.arange(64, dtype=np.float32), 8), "b": (np.ones(32, np.float32), 4)}
        write_gguf(folder / "imatrix", found, 512, 2, "text")
        write_legacy(folder / "legacy", found, 2, "text")
        self._matrices = [(folder / name).read_bytes() for name in ("imatrix", "legacy")]
        self._engine = Engine.load(write_tiny(folder / "model.gguf"), n_threads=1)
        self._session = self._engine.session(n_ctx=32)
        self._session.decode([1, 2, 3, 4, 5])
        prompt_cache.save(folder / "cache", self._session, 5)
        self._cache = (folder / "cache").read_bytes()

    def case(self, rng: random.Random) -> None:
        (self._matrix, self._prompt, self._records)[rng.randrange(3)](rng)

    def _matrix(self, rng: random.Random) -> None:
        self._path.write_bytes(mutated_bytes(rng.choice(self._matrices), rng, 3))
        found = ImportanceMatrix.open(self._path)
        assert all(np.isfinite(values).all() and (values >= 0).all() for values in found.entries.values())
        weights = found.of(self._engine.gguf.tensor("blk.0.attn_q.weight"))
        assert weights is None or ((weights > 0) & (weights <= 1)).all()

    def _prompt(self, rng: random.Random) -> None:
        """Often with a checksum that is right, so that what it guards is looked at."""
        line, _, data = self._cache.partition(b"\n")
        if rng.random() < 0.7:
            data = mutated_bytes(data, rng, 3)
            first = json.loads(line) | {"crc32": zlib.crc32(data)}
            if rng.random() < 0.5:
                n = rng.choice((first["tokens"], *NUMBERS))
                first |= {"tokens": n, "bytes": max(len(data) - 4 * n, 0)}
            line = json.dumps(first).encode()
        else:
            line = mutated_bytes(line, rng, 3)
        self._path.write_bytes(line + b"\n" + data)
        self._session.truncate(0)
        prompt_cache.load(self._path, self._session)
        self._session.decode([7])

    def _records(self, rng: random.Random) -> None:
        self._path.write_bytes(mutated_bytes(_records(rng), rng, 5))
        process = records.read(self._path)
        if process is not None:
            files = {name: self._out.with_suffix(f".{name[0]}") for name in ("markers", "trace", "address_map")}
            counters = Counters([Group("sw", SOFTWARE, ("task-clock",), ((1, 1, True),))])
            what = outputs.Outputs(self._out, True, **files, command="case", counters=counters)
            for name in outputs.write(what, [process]).names:
                self._out.with_name(name).unlink(missing_ok=True)


def _records(rng: random.Random) -> bytes:
    """Of a process with two threads."""
    log, first, second, counted = b"", b"", b"", b""
    for number in range(1, rng.randint(2, 5)):
        at = 1000 * number
        log += entry(4, b"library=/lib/libllama.so")
        log += call(number, at, n_past=number, n_eval=rng.choice((1, 1, 8)), context=rng.choice((1, 1, 2)))
        log += node(64, PRODUCT, WEIGHT, INPUT) + end(number, at + 900)
        first += look(5, 1, at + 100) + operation(64, 400, 100)
        second += look(6, 0, at + 120) + operation(64, 390, rng.choice((0, 10, 5000)))
        counted += op_count(3 * number - 1, [1, 300, 300, rng.choice((7, 1 << 63))], [rng.choice((0, 1)), 100, 0, 2])
    operations = block(1, 3, first) + block(1, 1, second) + block(3, 3, counted)
    return head(count_words=4) + block(2, 3, log) + operations
