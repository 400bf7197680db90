"""Quantised blocks: gguf's bytes by the reference method, a smaller error by the search."""

from __future__ import annotations

import gguf
import gguf.quants
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from quantize_samples import BLOCK_TYPES, LINE_TYPES, samples

from q4engine import _native
from q4engine.gguf.dequantize import dequantize
from q4engine.gguf.quantize_file import Method, quantize_rows
from q4engine.gguf.types import TensorType

REFERENCE_TYPES = [TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1, TensorType.Q8_0]


EVEN_TYPES = [kind for kind in BLOCK_TYPES if not kind.name.startswith("IQ4")]
"""Whose levels are even steps, zero among them."""


def squared_errors(rows: np.ndarray, kind: TensorType, method: Method) -> np.ndarray:
    """Of each block, in float64."""
    decoded = dequantize(quantize_rows(rows, kind, method).reshape(-1), kind, rows.shape)
    return ((decoded.astype(np.float64) - rows) ** 2).reshape(-1, kind.block_size).sum(axis=1)


@pytest.mark.parametrize("kind", REFERENCE_TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["bell", "heavy", "one side", "sparse"])
def test_reference_method_gives_the_bytes_of_gguf(kind: TensorType, name: str) -> None:
    rows = samples(64, 256)[name]
    ours = quantize_rows(rows, kind, "reference")
    assert np.array_equal(ours, gguf.quants.quantize(rows, gguf.GGMLQuantizationType(int(kind))))


FLOATS = st.floats(-60000, 60000, width=32).map(lambda x: x if abs(x) > 1e-30 else 0.0)
"""Without subnormals, whose inverse scale overflows in gguf, and without −0, which has no order among zeros."""


@settings(max_examples=300, deadline=None)
@given(block=hnp.arrays(np.float32, 32, elements=FLOATS), kind=st.sampled_from(REFERENCE_TYPES))
def test_reference_method_gives_the_bytes_of_gguf_on_any_block(block: np.ndarray, kind: TensorType) -> None:
    rows = (block + np.float32(0)).reshape(1, 32)
    ours = quantize_rows(rows, kind, "reference")
    assert np.array_equal(ours, gguf.quants.quantize(rows, gguf.GGMLQuantizationType(int(kind))))


@pytest.mark.parametrize("kind", REFERENCE_TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["bell", "heavy", "one side", "sparse"])
def test_search_is_never_worse_and_often_better(kind: TensorType, name: str) -> None:
    rows = samples(64, 256)[name]
    reference, search = squared_errors(rows, kind, "reference"), squared_errors(rows, kind, "search")
    # The search compares errors in float32, relative to the block's largest value: equal up to that rounding.
    assert (search <= reference * (1 + 1e-4)).all()
    assert search.sum() < 0.97 * reference.sum()


def test_search_comes_close_to_the_best_scale() -> None:
    """Against every fp16 scale between amax / 5 and amax / 12, of both signs."""
    rows = samples(40, 32)["bell"]
    found = squared_errors(rows, TensorType.Q4_0, "search")
    best = np.full(len(rows), np.inf)
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    for index, row in enumerate(rows.astype(np.float64)):
        amax = np.abs(row).max()
        scales = halves[(halves >= amax / 12) & (halves <= amax / 5)]
        scales = np.concatenate([scales, -scales])[:, None]
        errors = (row - scales * np.clip(np.rint(row / scales), -8, 7)) ** 2
        best[index] = errors.sum(axis=1).min()
    assert (found >= best * (1 - 1e-6)).all()
    assert found.sum() < 1.005 * best.sum()


def test_q6_k_is_more_precise_than_q4_and_less_than_q8() -> None:
    """A bell-shaped block has a relative error near 2^-6 by 6 bits."""
    rows = samples(16, 1024)["bell"]
    q4, q6, q8 = (
        np.sqrt(squared_errors(rows, kind, "search").sum() / (rows.astype(np.float64) ** 2).sum())
        for kind in (TensorType.Q4_0, TensorType.Q6_K, TensorType.Q8_0)
    )
    assert q8 < 0.006 < 0.014 < q6 < 0.018 < 0.05 < q4


def test_q6_k_sub_blocks_of_different_size_keep_their_precision() -> None:
    """Sub-blocks 100 times smaller than their neighbours have sub-scales of their own."""
    rows = samples(8, 256)["bell"]
    rows[:, 16:32] /= 100
    decoded = dequantize(quantize_rows(rows, TensorType.Q6_K).reshape(-1), TensorType.Q6_K, rows.shape)
    small = rows[:, 16:32].astype(np.float64)
    assert np.sqrt(((decoded[:, 16:32] - small) ** 2).sum() / (small**2).sum()) < 0.05


def relative_error(rows: np.ndarray, kind: TensorType) -> float:
    return float(np.sqrt(squared_errors(rows, kind, "search").sum() / (rows.astype(np.float64) ** 2).sum()))


@pytest.mark.parametrize(
    ("kind", "bell", "heavy"),
    [(TensorType.Q2_K, 0.27, 0.27), (TensorType.Q4_K, 0.07, 0.09), (TensorType.Q5_K, 0.035, 0.047)],
)
def test_lines_of_super_blocks_are_precise(kind: TensorType, bell: float, heavy: float) -> None:
    """About a step of a uniform quantiser over ±2.3 standard deviations of 32 (16) values, over √12; Q4_1, whose scales
    are not quantised, has 0.068 and 0.086."""
    rows = samples(32, 512)
    assert relative_error(rows["bell"], kind) < bell
    assert relative_error(rows["heavy"], kind) < heavy


def test_large_weights_count_more_in_a_line() -> None:
    """Errors are weighed by size: among 31 near zero, one large value is off by less than an even share."""
    rows = samples(64, 256)["heavy"]
    decoded = dequantize(quantize_rows(rows, TensorType.Q4_K).reshape(-1), TensorType.Q4_K, rows.shape)
    blocks, errors = rows.reshape(-1, 32), (decoded - rows).reshape(-1, 32) ** 2
    largest = np.abs(blocks).argmax(axis=1)[:, None]
    assert np.take_along_axis(errors, largest, axis=1).mean() < 0.5 * errors.mean()


@pytest.mark.parametrize("kind", LINE_TYPES, ids=lambda kind: kind.name)
def test_sub_blocks_have_lines_of_their_own(kind: TensorType) -> None:
    """Negative, positive, tiny and constant ones beside each other; a minimum above zero is no minimum."""
    rows = samples(4, 256)["bell"]
    rows[:, 32:64] = -np.abs(rows[:, 32:64])
    rows[:, 64:96] = np.abs(rows[:, 64:96])
    rows[:, 96:128] /= 8
    rows[:, 128:160] = -0.5
    rows[:, 160:192] = 0.0
    decoded = dequantize(quantize_rows(rows, kind).reshape(-1), kind, rows.shape)
    step = np.abs(rows).max() / {TensorType.Q2_K: 1.4, TensorType.Q4_K: 7, TensorType.Q5_K: 15}[kind]
    assert np.abs(decoded - rows).max() < step
    assert np.abs(decoded - rows)[:, 96:128].max() < step / 4
    assert not decoded[:, 160:192].any()


@pytest.mark.parametrize("kind", EVEN_TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("method", ["search", "reference"])
def test_values_that_a_block_holds_exactly_survive(kind: TensorType, method: Method) -> None:
    """Zeros, one constant, two values whose distance is a step of the type's, one value alone."""
    levels = {"Q4_0": -8.0, "Q4_1": -15.0, "Q5_0": -16.0, "Q5_1": -31.0, "Q8_0": -127.0, "Q3_K": -128.0}
    full = levels.get(kind.name, -4096.0)
    rows = np.zeros((4, kind.block_size), np.float32)
    rows[1] = full
    rows[2, ::2] = full / 1024
    rows[3, 7] = -full / 2 if kind is TensorType.Q4_0 and method == "search" else full / 2
    decoded = dequantize(quantize_rows(rows, kind, method).reshape(-1), kind, rows.shape)
    assert np.array_equal(decoded, rows)


@pytest.mark.parametrize("kind", [TensorType.IQ4_NL, TensorType.IQ4_XS], ids=lambda kind: kind.name)
def test_values_of_the_table_survive(kind: TensorType) -> None:
    table = np.asarray([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
    rows = np.random.default_rng(2).choice(table, (16, 512))
    rows[:, ::32] = -127
    rows[1::2] *= np.float32(-0.25)
    decoded = dequantize(quantize_rows(rows, kind).reshape(-1), kind, rows.shape)
    assert np.array_equal(decoded, rows)


@pytest.mark.parametrize(
    ("kind", "bell", "heavy"),
    [(TensorType.Q3_K, 0.142, 0.156), (TensorType.IQ4_NL, 0.073, 0.089), (TensorType.IQ4_XS, 0.074, 0.09)],
)
def test_scales_of_sub_blocks_are_precise(kind: TensorType, bell: float, heavy: float) -> None:
    """IQ4_NL beats Q4_0 (0.077 and 0.105); its super-blocks lose a little by their scales of 6 bits."""
    rows = samples(64, 1024)
    assert relative_error(rows["bell"], kind) < bell
    assert relative_error(rows["heavy"], kind) < heavy


@pytest.mark.parametrize("kind", BLOCK_TYPES, ids=lambda kind: kind.name)
def test_quantising_what_was_quantised_changes_nothing(kind: TensorType) -> None:
    """The search finds the scale again where the block's largest value lies on an outer level, as it mostly does."""
    rows = samples(16, 512)["bell"]
    once = dequantize(quantize_rows(rows, kind).reshape(-1), kind, rows.shape)
    twice = dequantize(quantize_rows(once, kind).reshape(-1), kind, rows.shape)
    same = (once == twice).reshape(-1, kind.block_size).all(axis=1)
    assert same.mean() > (0.9 if kind is TensorType.Q6_K else 0.99)


@pytest.mark.parametrize("kind", [*BLOCK_TYPES, *LINE_TYPES, TensorType.F16], ids=lambda kind: kind.name)
@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-30, 1e-8, 60000.0])
def test_extreme_sizes_stay_finite_and_near(kind: TensorType, scale: float) -> None:
    rows = (samples(4, 256)["bell"] * np.float32(scale)).astype(np.float32)
    rows = np.clip(rows, -65000, 65000)
    for method in ("search", "reference"):
        decoded = dequantize(quantize_rows(rows, kind, method).reshape(-1), kind, rows.shape)
        assert np.isfinite(decoded).all()
        assert np.abs(decoded - rows).max() <= max(
            (0.4 if kind is TensorType.Q2_K else 0.15) * np.abs(rows).max(), 2.0**-14 * 16
        )


@pytest.mark.parametrize("kind", [*BLOCK_TYPES, *LINE_TYPES, TensorType.F16], ids=lambda kind: kind.name)
@pytest.mark.parametrize("method", ["search", "reference"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_values_that_do_not_fit_name_their_row(kind: TensorType, method: Method, value: float) -> None:
    rows = np.ones((5, 512), np.float32)
    rows[3, 300] = value
    with pytest.raises(ValueError, match="row 3 has a value"):
        quantize_rows(rows, kind, method)


def test_f16_equals_numpy() -> None:
    rows = np.concatenate(
        [samples(8, 64)[name] * np.float32(scale) for name in ("bell", "heavy") for scale in (1, 1e-6)]
    )
    assert np.array_equal(quantize_rows(rows, TensorType.F16), rows.astype(np.float16).view(np.uint8))


def test_arguments_are_checked() -> None:
    rows, out = np.zeros((2, 32), np.float32), np.zeros((2, 18), np.uint8)
    assert _native.quantize_rows(rows, out, 2, 2, 32, "search") == 2
    for arguments in [(2, 2, 64), (2, 3, 32), (2, -2, -32), (2, 2, 0), (2, 4, 16), (2, 1 << 62, 1 << 62), (8, 2, 32)]:
        with pytest.raises(ValueError, match="do not hold"):
            _native.quantize_rows(rows, out, *arguments, "search")
    for kind in (0, 30, -1, 1 << 20):
        with pytest.raises(ValueError, match="cannot be quantised"):
            _native.quantize_rows(rows, out, kind, 2, 32, "search")
    with pytest.raises(ValueError, match="'best' is unknown"):
        _native.quantize_rows(rows, out, 2, 2, 32, "best")
    with pytest.raises(ValueError, match="do not hold"):
        _native.quantize_rows(np.zeros(257, np.uint8)[1:].view(np.uint8), out, 2, 2, 32, "search")
