"""Model architectures: hyper-parameters (config), the language their graphs are written in (graph), one file each."""

from __future__ import annotations

from collections.abc import Callable

from q4engine.models import llama, qwen2
from q4engine.models.config import ModelConfig
from q4engine.models.graph import Graph

GRAPHS: dict[str, Callable[[Graph, ModelConfig], None]] = {"llama": llama.build, "qwen2": qwen2.build}

__all__ = ["GRAPHS", "Graph", "ModelConfig"]
