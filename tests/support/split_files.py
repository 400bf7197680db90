"""Models in several files, as gguf-split writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gguf_bytes import I32, U16, pair

from q4engine.gguf import GGUFFile
from q4engine.gguf.write import GGUFWriter, NewTensor


@dataclass
class Lie:
    """What one part says wrongly; None leaves it true."""

    number: int | None = None
    count: int | None = None
    n_tensors: int | None = None
    pairs: tuple[bytes, ...] = ()


def part_name(stem: str, number: int, count: int) -> str:
    """``number`` from 0 on."""
    return f"{stem}-{number + 1:05}-of-{count:05}.gguf"


def split_model(source: Path, folder: Path, count: int = 3, lies: dict[int, Lie] | None = None) -> Path:
    """Writes a model in ``count`` files of about as many tensors; returns the first one's path."""
    with GGUFFile.open(source) as file:
        infos = list(file.tensors.values())
        for number in range(count):
            mine = infos[number * len(infos) // count : (number + 1) * len(infos) // count]
            lie = (lies or {}).get(number, Lie())
            pairs = [file.metadata.raw(key) for key in file.metadata] if number == 0 else []
            pairs += [
                pair("split.no", U16, number if lie.number is None else lie.number),
                pair("split.count", U16, count if lie.count is None else lie.count),
                pair("split.tensors.count", I32, len(infos) if lie.n_tensors is None else lie.n_tensors),
                *lie.pairs,
            ]
            table = [NewTensor(info.name, info.type, info.shape) for info in mine]
            with GGUFWriter(folder / part_name("model", number, count), pairs, table) as writer:
                for info in mine:
                    writer.write(info.data)
    return folder / part_name("model", 0, count)
