"""What every conversion comes down to: values to types, and a file that our own reader takes or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from q4engine.convert.conversion import Conversion, SourceTensor, write_gguf
from q4engine.errors import Q4Error
from q4engine.gguf import TensorType


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (np.nan, TensorType.F32, "m: tensor 'x' holds a value that is not finite"),
        (-np.inf, TensorType.BF16, "m: tensor 'x' holds a value that is not finite"),
        (65520.0, TensorType.F16, "m: tensor 'x' holds a value that is too large for F16"),
        (1.0, TensorType.Q4_0, "m: tensor 'x' cannot become 'Q4_0': a conversion writes F32, F16 or BF16"),
    ],
)
def test_values_that_a_type_cannot_hold(tmp_path: Path, value: float, kind: TensorType, expected: str) -> None:
    values = np.full((2, 32), value, np.float32)
    model = Conversion([], [SourceTensor("x", (2, 32), TensorType.F32, lambda: values, "m: tensor 'x'")])
    with pytest.raises(Q4Error) as caught:
        write_gguf(tmp_path / "out.gguf", model, kind)
    assert str(caught.value) == expected and list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_model_is_not_left(tmp_path: Path) -> None:
    values = np.ones((2, 32), np.float32)
    model = Conversion([], [SourceTensor("x", (2, 32), TensorType.F32, lambda: values, "m")])
    with pytest.raises(Q4Error, match=r"out\.gguf: key 'general\.architecture' is missing"):
        write_gguf(tmp_path / "out.gguf", model, None)
    assert list(tmp_path.iterdir()) == []
