"""What a report says of a model."""

from __future__ import annotations

from dataclasses import dataclass

from q4engine.engine import Engine


@dataclass(frozen=True)
class ModelFacts:
    """``kind``: architecture, number of weights and the type of most of them. Sizes as llama-bench counts them."""

    path: str
    kind: str
    n_bytes: int
    n_params: int
    load_seconds: float
    kv_form: str = "f16"

    @classmethod
    def of(cls, engine: Engine) -> ModelFacts:
        sizes: dict[str, int] = {}
        for tensor in engine.gguf.tensors.values():
            sizes[tensor.type_name] = sizes.get(tensor.type_name, 0) + tensor.n_elements
        n_params = sum(sizes.values())
        most = max(sizes, key=lambda name: sizes[name])
        kind = f"{engine.config.architecture} {_rounded(n_params)} {most}"
        n_bytes = sum(tensor.n_bytes for tensor in engine.gguf.tensors.values())
        return cls(str(engine.gguf.path), kind, n_bytes, n_params, engine.load_seconds, engine.kv_form)


def _rounded(n_params: int) -> str:
    """135M, 0.5B, 7.2B."""
    return f"{n_params / 1e9:.1f}B" if n_params >= 400e6 else f"{n_params / 1e6:.0f}M"
