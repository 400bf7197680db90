"""The tensors of a file as float32."""

from __future__ import annotations

import numpy as np

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile
from q4engine.gguf.dequantize import dequantize_tensor


class Weights:
    """The tensors of a file as float32, each decoded when first asked for and kept; shared by all decoders."""

    def __init__(self, file: GGUFFile) -> None:
        self.file = file
        self._decoded: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        """Shape (rows, columns) or (elements,). Q4Error where the tensor is missing or holds NaN or infinity."""
        if name not in self._decoded:
            with np.errstate(invalid="ignore", over="ignore"):  # found by the next line
                values = dequantize_tensor(self.file.tensor(name))
            if not np.isfinite(values).all():
                raise Q4Error(f"{self.file.path}: tensor {shown(name)} holds values that are not finite")
            self._decoded[name] = values
        return self._decoded[name]
