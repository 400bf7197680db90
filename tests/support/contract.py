"""The arithmetic of docs/arithmetic.md once more, in NumPy, written from that page and sharing no code with the engine.

float32 arrays throughout. NumPy's +, -, *, / and sqrt on them are IEEE operations, one at a time; fma is made of
float64 operations that are exact up to one rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from q4engine.gguf import TensorInfo, TensorType

F = np.float32
BLOCK, SUPER, KV_BLOCK, SPAN_BLOCKS = 32, 256, 64, 8


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a · b + c, rounded once. The product of two float32 is exact in float64. Their sum is not: it is rounded to odd,
    so that rounding it again to float32, which has fewer bits by more than two, rounds as if it were exact."""
    product, addend = np.float64(a) * np.float64(b), np.float64(c)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)  # what the addition lost, exactly (Knuth's two-sum)
    total, error = np.broadcast_arrays(np.atleast_1d(total), np.atleast_1d(error))
    bits = total.copy().view(np.int64)
    even = (error != 0) & (bits & 1 == 0)
    away = (error > 0) == (total > 0)
    bits = np.where(even, np.where(away, bits + 1, bits - 1), bits)
    return bits.view(np.float64).astype(F).reshape(np.broadcast_shapes(np.shape(a), np.shape(b), np.shape(c)))


def half(x: np.ndarray) -> np.ndarray:
    """Rounded to fp16, as float32."""
    return x.astype(np.float16).astype(F)


def exp(x: np.ndarray) -> np.ndarray:
    c = np.minimum(np.maximum(x, F(-87)), F(88))
    n = np.rint(c * F(float.fromhex("0x1.715476p+0")))
    r = fma(n, F(-float.fromhex("0x1.62e4p-1")), c)
    r = fma(n, F(-float.fromhex("0x1.7f7d1cp-20")), r)
    p = np.full_like(r, 1 / 5040)
    for factorial in (720, 120, 24, 6, 2, 1, 1):
        p = fma(p, r, F(1 / factorial))
    return np.where(x < F(-87), F(0), np.ldexp(p, n.astype(np.int32)))


def silu(x: np.ndarray) -> np.ndarray:
    return x / (F(1) + exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
    slope = fma(np.full_like(x, float.fromhex("0x1.2444f2p-4")), x * x, F(float.fromhex("0x1.988454p+0")))
    return x / (F(1) + exp(-(x * slope)))


def soft_cap(x: np.ndarray, cap: float) -> np.ndarray:
    """x itself where the cap is 0."""
    if cap == 0:
        return x
    e = exp(x * (F(2) / F(cap)))
    return F(cap) * ((e - F(1)) / (e + F(1)))


def fold16(s: np.ndarray) -> np.ndarray:
    """Over the last axis of 16."""
    s = s[..., :8] + s[..., 8:]
    s = s[..., :4] + s[..., 4:]
    return (s[..., 0] + s[..., 2]) + (s[..., 1] + s[..., 3])


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    sums = np.zeros((*x.shape[:-1], 16), F)
    for i in range(0, x.shape[-1], 16):
        part = x[..., i : i + 16]
        width = part.shape[-1]
        sums[..., :width] = fma(part, part, sums[..., :width])
    scale = F(1) / np.sqrt(fold16(sums) / F(x.shape[-1]) + F(eps))
    return (x * scale[..., None]) * weight


def layer_norm(x: np.ndarray, eps: float) -> np.ndarray:
    """Without weights, over rows [n, width]."""
    n, width = x.shape

    def folded(values: np.ndarray, step: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        sums = np.zeros((n, 16), F)
        for i in range(0, width, 16):
            part = values[:, i : i + 16]
            sums[:, : part.shape[1]] = step(part, sums[:, : part.shape[1]])
        return (fold16(sums) / F(width))[:, None]

    apart = x - folded(x, lambda part, sums: sums + part)
    variance = folded(apart, lambda part, sums: fma(part, part, sums))
    return apart * (F(1) / np.sqrt(variance + F(eps)))


def strided_sum(x: np.ndarray) -> np.ndarray:
    """Of each row."""
    sums = np.zeros((len(x), 16), F)
    for i in range(x.shape[1]):
        sums[:, i % 16] += x[:, i]
    return fold16(sums)


def quantize(x: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 [n, blocks, size] and the scale of each block [n, blocks]."""
    blocks = x.reshape(len(x), -1, size)
    amax = np.abs(blocks).max(axis=-1)
    zero = amax < F(2.0**-110)
    amax = np.where(zero, F(1), amax)
    q = np.clip(np.rint(blocks * (F(127) / amax)[..., None]), -127, 127)
    d = amax / F(127)
    d = half(np.minimum(d, F(65504))) if size == BLOCK else d
    return np.where(zero[..., None], 0, q).astype(np.int64), np.where(zero, F(0), d)


Kept = tuple[np.ndarray, np.ndarray | None]
"""Of keys or values [n, heads, D]: the numbers, and the scale of each 32 [n, heads, D / 32] where they have some."""


def int8_heads(x: np.ndarray) -> Kept:
    q, d = quantize(x.reshape(len(x), -1), BLOCK)
    return q.astype(F).reshape(x.shape), d.reshape(*x.shape[:2], -1)


KV_FORMS: dict[str, Callable[[np.ndarray], Kept]] = {"f16": lambda x: (half(x), None), "q8_0": int8_heads}


class Matrix:
    """A GGUF tensor's blocks, decoded to what the products use: integers and scales."""

    def __init__(self, info: TensorInfo, expert: int = 0) -> None:
        self.kind = info.type
        rows, columns = (1, *info.shape)[-2:]
        raw = info.data.reshape(-1, rows, info.type.row_bytes(columns))[expert]
        if info.type in (TensorType.F32, TensorType.F16, TensorType.BF16):
            self.floats = _floats(raw, info.type)
            return
        raw = raw.reshape(rows, columns // info.type.block_size, -1)
        if self.kind in SUPER_BLOCKS:
            self.q, self.scales, self.minima, self.d, self.dmin = SUPER_BLOCKS[self.kind](raw)
            return
        self.d = raw[..., :2].copy().view(np.float16)[..., 0].astype(F)
        if info.type is TensorType.Q8_0:
            self.q = raw[..., 2:].view(np.int8).astype(np.int64)
            return
        nibbles = raw[..., -16:].astype(np.int64)
        self.q = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1)
        if info.type in (TensorType.Q4_1, TensorType.Q5_1):
            self.m = raw[..., 2:4].copy().view(np.float16)[..., 0].astype(F)
        if info.type is TensorType.Q4_0:
            self.q -= 8
        elif info.type is TensorType.Q5_0:
            plane = raw[..., 2:6].copy().view("<u4").astype(np.int64)
            self.q += 16 * (plane >> np.arange(32) & 1) - 16
        elif info.type is TensorType.Q5_1:
            plane = raw[..., 4:8].copy().view("<u4").astype(np.int64)
            self.q += 16 * (plane >> np.arange(32) & 1)
        elif info.type is TensorType.IQ4_NL:
            self.q = IQ4_VALUES[self.q]

    def rows(self, ids: list[int]) -> np.ndarray:
        """Embedding: float32 [n, columns]."""
        if hasattr(self, "floats"):
            return self.floats[ids]
        q, d = self.q[ids].astype(F), self.d[ids][..., None]
        if hasattr(self, "m"):
            return fma(q, d, self.m[ids][..., None]).reshape(len(ids), -1)
        if self.kind in SUPER_BLOCKS:
            sub = SUPER // self.scales.shape[-1]
            d = np.repeat(d * self.scales[ids].astype(F), sub, axis=-1)
            below = np.repeat(self.dmin[ids][..., None] * self.minima[ids].astype(F), sub, axis=-1)
            return (q * d if self.kind in NO_MINIMA else fma(q, d, -below)).reshape(len(ids), -1)
        return (q * d).reshape(len(ids), -1)

    def times(self, x: np.ndarray) -> np.ndarray:
        """x [n, columns] to [n, rows]."""
        if hasattr(self, "floats"):
            acc = np.zeros((len(x), len(self.floats)), F)
            for column in range(x.shape[1]):
                acc = fma(self.floats[:, column], x[:, column, None], acc)
            return acc
        acc = np.zeros((len(x), len(self.q)), F)
        size = self.q.shape[-1]
        xq, xd = quantize(x, size)
        weights = self.q
        if self.kind in SUPER_BLOCKS:
            sub = SUPER // self.scales.shape[-1]
            weights = self.q * np.repeat(self.scales, sub, -1)
        for b in range(self.q.shape[1]):
            total = (xq[:, b] @ weights[:, b].T).astype(F)
            acc = fma(total, self.d[:, b] * xd[:, b, None], acc)
            if hasattr(self, "m"):
                acc = fma(xq[:, b].sum(axis=-1).astype(F)[:, None], self.m[:, b] * xd[:, b, None], acc)
            if self.kind in SUPER_BLOCKS and self.kind not in NO_MINIMA:
                sums = xq[:, b].reshape(len(x), -1, sub).sum(axis=-1)
                below = (sums @ self.minima[:, b].T).astype(F)
                acc = fma(below, -(self.dmin[:, b] * xd[:, b, None]), acc)
        return acc


def _floats(raw: np.ndarray, kind: TensorType) -> np.ndarray:
    if kind is TensorType.BF16:
        return (raw.copy().view(np.uint16).astype(np.uint32) << 16).view(F)
    return raw.copy().view(np.float16 if kind is TensorType.F16 else F).astype(F)


Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Of super-blocks [rows, blocks]: q [..., 256], sub-scales, minima [..., sub-blocks] as int64, d, dmin as float32."""


def _field(raw: np.ndarray, at: int) -> np.ndarray:
    return raw[..., at : at + 2].copy().view(np.float16)[..., 0].astype(F)


def _bits(raw: np.ndarray, width: int) -> np.ndarray:
    """Bytes as int64 fields of `width` bits: every 32 bytes give their lowest fields first."""
    groups = raw.astype(np.int64).reshape(*raw.shape[:-1], -1, 1, 32)
    fields = groups >> np.arange(0, 8, width)[:, None] & (1 << width) - 1
    return fields.reshape(*raw.shape[:-1], -1)


def _without_minima(q: np.ndarray, scales: np.ndarray, d: np.ndarray) -> Parts:
    return q, scales, np.zeros_like(scales), d, np.zeros_like(d)


def _q2_k(raw: np.ndarray) -> Parts:
    sub = raw[..., :16].astype(np.int64)
    return _bits(raw[..., 16:80], 2), sub & 15, sub >> 4, _field(raw, 80), _field(raw, 82)


def _q3_k(raw: np.ndarray) -> Parts:
    packed = raw[..., 96:108].astype(np.int64)
    low = np.concatenate([packed[..., :8] & 15, packed[..., :8] >> 4], axis=-1)
    high = (packed[..., None, 8:] >> np.arange(0, 8, 2)[:, None] & 3).reshape(low.shape)
    q = _bits(raw[..., 32:96], 2) + 4 * _bits(raw[..., :32], 1) - 4
    return _without_minima(q, low + 16 * high - 32, _field(raw, 108))


def _six_bits(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, c = (packed[..., i : i + 4].astype(np.int64) for i in (0, 4, 8))
    scales = np.concatenate([a & 63, (c & 15) + 16 * (a >> 6)], axis=-1)
    return scales, np.concatenate([b & 63, (c >> 4) + 16 * (b >> 6)], axis=-1)


def _q4_k(raw: np.ndarray) -> Parts:
    return _bits(raw[..., 16:], 4), *_six_bits(raw[..., 4:16]), _field(raw, 0), _field(raw, 2)


def _q5_k(raw: np.ndarray) -> Parts:
    q = _bits(raw[..., 48:], 4) + 16 * _bits(raw[..., 16:48], 1)
    return q, *_six_bits(raw[..., 4:16]), _field(raw, 0), _field(raw, 2)


def _q6_k(raw: np.ndarray) -> Parts:
    low = raw[..., :128].reshape(*raw.shape[:2], 2, 2, 32).astype(np.int64)
    high = raw[..., 128:192].reshape(*raw.shape[:2], 2, 1, 32).astype(np.int64)
    low = np.concatenate([low & 15, low >> 4], axis=3)  # [half, quarter, 32]
    shifts = np.arange(0, 8, 2).reshape(1, 1, 1, 4, 1)
    q = ((low | (high >> shifts & 3) << 4) - 32).reshape(*raw.shape[:2], SUPER)
    return _without_minima(q, raw[..., 192:208].view(np.int8).astype(np.int64), _field(raw, 208))


IQ4_VALUES = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])


def _iq4_xs(raw: np.ndarray) -> Parts:
    j = np.arange(8)
    scales = raw[..., 4 + j // 2].astype(np.int64) >> j % 2 * 4 & 15
    scales += 16 * (raw[..., 2 + j // 4].astype(np.int64) >> j % 4 * 2 & 3) - 32
    nibbles = raw[..., 8:].reshape(*raw.shape[:2], 8, 16)
    q = IQ4_VALUES[np.concatenate([nibbles & 15, nibbles >> 4], axis=-1)].reshape(*raw.shape[:2], SUPER)
    return _without_minima(q, scales, _field(raw, 0))


SUPER_BLOCKS = {
    TensorType.Q2_K: _q2_k,
    TensorType.Q3_K: _q3_k,
    TensorType.Q4_K: _q4_k,
    TensorType.Q5_K: _q5_k,
    TensorType.Q6_K: _q6_k,
    TensorType.IQ4_XS: _iq4_xs,
}
NO_MINIMA = {TensorType.Q3_K, TensorType.Q6_K, TensorType.IQ4_XS}


def rope_table(
    positions: np.ndarray, dim: int, base: float, factors: np.ndarray | None, magnitude: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines, float32 [n, dim / 2]: float64 without fma."""
    angles = positions[:, None].astype(np.float64) * _frequencies(dim, base, factors)
    n = np.rint(angles * float.fromhex("0x1.45f306dc9c883p-1"))
    r = angles - n * float.fromhex("0x1.921fb544p0")
    r = r - n * float.fromhex("0x1.0b4611a6p-34")
    r = r - n * float.fromhex("0x1.3198a2e037073p-69")
    r2, s, c = r * r, np.ones_like(r), np.ones_like(r)
    for k in range(18, 1, -2):
        s = 1.0 - s * r2 / (k * (k + 1))
        c = 1.0 - c * r2 / (k * (k - 1))
    s = s * r
    turn = n.astype(np.int64) & 3
    cos, sin = np.choose(turn, [c, -s, -c, s]), np.choose(turn, [s, c, -s, -c])
    return (magnitude * cos).astype(F), (magnitude * sin).astype(F)


def _frequencies(dim: int, base: float, factors: np.ndarray | None) -> np.ndarray:
    mantissa, exponent = np.frexp(base)  # in [1/2, 1)
    mantissa, exponent = mantissa * 2, exponent - 1
    if mantissa > float.fromhex("0x1.6a09e667f3bcdp0"):
        mantissa, exponent = mantissa / 2, exponent + 1
    z = (mantissa - 1.0) / (mantissa + 1.0)
    total = 0.0
    for k in range(25, 0, -2):
        total = total * (z * z) + 1.0 / k
    log2_base = exponent + (2.0 * z * total) * float.fromhex("0x1.71547652b82fep0")
    frequencies = []
    for i in range(dim // 2):
        y = -(2.0 * i / dim) * log2_base
        whole = np.rint(y)
        r, power = (y - whole) * float.fromhex("0x1.62e42fefa39efp-1"), 1.0
        for k in range(16, 0, -1):
            power = 1.0 + power * r / k
        f = float(np.ldexp(power, int(whole)))
        frequencies.append(f if factors is None else f / float(factors[i]))
    return np.array(frequencies)


def rope(x: np.ndarray, cos: np.ndarray, sin: np.ndarray, style: str) -> np.ndarray:
    """x [n, heads, head_dim]"""
    pairs = cos.shape[-1]
    first = slice(0, 2 * pairs, 2) if style == "NORM" else slice(0, pairs)
    second = slice(1, 2 * pairs, 2) if style == "NORM" else slice(pairs, 2 * pairs)
    a, b, c, s = x[..., first], x[..., second], cos[:, None], sin[:, None]
    out = x.copy()
    out[..., first] = fma(a, c, -(b * s))
    out[..., second] = fma(a, s, b * c)
    return out


def attention(
    q: np.ndarray, keys: Kept, values: Kept, scale: float | None = None, window: int = 0, cap: float = 0.0
) -> np.ndarray:
    """q [n, heads, D] at positions 0 … n − 1, keys and values [n, KV heads, D] as the cache has them: [n, heads, D]."""
    (k, k_scales), (v, v_scales) = keys, values
    if v_scales is not None:
        v = v * np.repeat(v_scales, BLOCK, axis=-1)
    n, heads, dim = q.shape
    scaled = q * (F(1) / np.sqrt(F(dim)) if scale is None else F(scale))
    qh, q_scales = (half(scaled), None) if k_scales is None else int8_heads(scaled)
    group = heads // k.shape[1]
    out = np.empty_like(q)
    for position in range(n):
        spans = []
        first = max(position + 1 - window, 0) if window else 0
        for start in range(0, position + 1, SPAN_BLOCKS * KV_BLOCK):
            blocks = []
            for at in range(start, start + SPAN_BLOCKS * KV_BLOCK, KV_BLOCK):
                seen = range(max(at, first), min(at + KV_BLOCK, position + 1))
                if seen:
                    places = np.array(seen) - at
                    of_keys = k[seen], None if k_scales is None else k_scales[seen]
                    query = qh[position], None if q_scales is None else q_scales[position]
                    blocks.append(_attend_block(query, of_keys, v[seen], places, group, cap))
            if blocks:
                spans.append(_merge_all(blocks))
        _, total, acc = _merge_all(spans)
        out[position] = acc * (F(1) / total)[:, None]
    return out


State = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Maximum [heads], sum [heads], accumulated values [heads, D]."""


def _attend_block(query: Kept, keys: Kept, values: np.ndarray, places: np.ndarray, group: int, cap: float) -> State:
    """``places``: where in the block the positions lie that are seen."""
    v = np.repeat(values, group, axis=1)  # [positions, heads, D]
    n, heads, dim = v.shape
    of_heads = tuple(None if part is None else np.repeat(part, group, axis=1) for part in keys)
    scores = soft_cap(_scores(query, of_heads), cap)
    highest = scores.max(axis=0)
    weights = np.zeros((KV_BLOCK, heads), F)
    weights[places] = half(exp(scores - highest))
    w = weights.reshape(4, 16, heads)
    total = fold16((((w[0] + w[1]) + w[2]) + w[3]).T)
    acc = np.zeros((heads, dim), F)
    for t in range(n):
        acc = fma(weights[places[t]][:, None], v[t], acc)
    return highest, total, acc


def _scores(query: Kept, keys: tuple[np.ndarray | None, ...]) -> np.ndarray:
    """Of each position and head; of int8 as matrix products are, 32 columns at a time."""
    (q, q_scales), (k, k_scales) = query, keys
    assert k is not None
    n, heads, dim = k.shape
    scores = np.zeros((n, heads), F)
    if q_scales is None or k_scales is None:
        for d in range(dim):
            scores = fma(q[:, d], k[:, :, d], scores)
        return scores
    sums = (q * k).reshape(n, heads, -1, BLOCK).sum(axis=-1)  # whole numbers below 2^24: exact in any order
    for b in range(dim // BLOCK):
        scores = fma(sums[:, :, b], q_scales[:, b] * k_scales[:, :, b], scores)
    return scores


def _merge_all(states: list[State]) -> State:
    m, total, acc = states[0]
    for m_b, total_b, acc_b in states[1:]:
        highest = np.maximum(m, m_b)
        alpha, beta = exp(m - highest), exp(m_b - highest)
        total = fma(total_b, beta, total * alpha)
        acc = fma(acc_b, beta[:, None], acc * alpha[:, None])
        m = highest
    return m, total, acc
