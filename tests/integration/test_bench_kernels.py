"""tests/bench/kernels.py on small matrices: that it measures the kernels that it names."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from q4engine.gguf.types import TensorType

_SPEC = importlib.util.spec_from_file_location("bench_kernels", Path(__file__).parents[1] / "bench" / "kernels.py")
assert _SPEC and _SPEC.loader
kernels = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(kernels)


@pytest.mark.parametrize("kind", kernels.TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("n_tokens", [1, 7])
def test_a_product_is_timed(kind: TensorType, n_tokens: int) -> None:
    product = kernels.Product(kind, 64, n_tokens, 2, None)
    assert product.kernel.startswith(kind.name.lower())
    assert 0 < product.seconds() < 60  # 60: not a sum or difference of the wrong stamps


def test_features_choose_the_kernel() -> None:
    assert kernels.Product(TensorType.Q4_0, 64, 1, 1, "none").kernel == "q4_0_portable"
    first = kernels.timer(lambda: kernels.Product(TensorType.Q4_0, 64, 1, 1, "none"))
    assert first(3) > 0
