"""What every architecture has: a few sizes that the engine asks for, its keys, its graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from q4engine.models.graph import Graph
from q4engine.models.keys import KeyReader


@dataclass(frozen=True)
class ModelConfig(ABC):
    """A model's hyper-parameters. Each architecture adds its own, reads them and builds its graph from them."""

    architecture: str
    """GGUF's name of it."""
    n_layers: int
    n_ctx_train: int
    """Positions that the model was trained for."""
    vocab_size: int

    @classmethod
    @abstractmethod
    def read(cls, keys: KeyReader) -> ModelConfig:
        """From a file's keys, each in its range; refuses what would compute something else."""

    @abstractmethod
    def build(self, g: Graph) -> None:
        """The decoder, operation by operation, each with the shapes that it expects."""
