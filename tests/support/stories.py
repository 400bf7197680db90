"""The real llama2.c checkpoint of the recorded data."""

from __future__ import annotations

from pathlib import Path

from q4engine.convert.conversion import write_gguf
from q4engine.convert.llama2c import read_llama2c
from q4engine.gguf import TensorType


def convert_stories(folder: Path, out: Path, kind: TensorType | None = None) -> Path:
    """Writes stories260K as GGUF."""
    write_gguf(out, read_llama2c(folder / "stories260K.bin", folder / "tok512.bin"), kind)
    return out
