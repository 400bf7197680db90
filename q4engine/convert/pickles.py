"""Refuses checkpoints that are pickles: opening one runs what it says."""

from __future__ import annotations

from pathlib import Path

from q4engine.errors import Q4Error
from q4engine.gguf.foreign import PICKLES

_STARTS = {b"PK\x03\x04": "a zip archive, as PyTorch writes pickles"} | dict.fromkeys(PICKLES, "a pickle")
PICKLED_NAMES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def refuse_pickle(path: Path) -> None:
    """Q4Error where a file starts as pickles do."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise Q4Error(f"{path}: cannot be read: {error.strerror}") from None
    for known, what in _STARTS.items():
        if start.startswith(known):
            raise Q4Error(f"{path}: is {what}, which can run code when it is opened; expected safetensors")
