// Template: operations of ops/ that compilers do not vectorise well. Includer: vec_*.h first, then ISA. The arithmetic
// is that of the C in ops/; rounding by VCVTPS2DQ is to nearest, ties to even, as q4_round_even.
#include "../ops/kv_q8_0.h"
#include "../ops/q4math.h"
#include "kernel.h"
#include "vec_math.h"

#define SMALLEST_AMAX 0x1p-110f // as in ops/quantize_activations.c
#define HALF_MAX 65504.0f

// max |x| of n values, as the bits of a float: 0x7f800000 or more where one is not finite.
static inline uint32_t max_magnitude(const float *x, size_t n) {
    vi largest = vi_magnitude(vf_load(x));
    for (size_t i = LANES; i < n; i += LANES)
        largest = vi_max(largest, vi_magnitude(vf_load(x + i)));
    return (uint32_t)vi_largest(largest);
}

static inline int32_t round_block(const float *x, float inverse, int8_t *q, size_t n) {
    vi sum = vi_zero();
    for (size_t i = 0; i < n; i += LANES) {
        vi r = vi_rounded(vf_mul(vf_load(x + i), vf_all(inverse)));
        r = vi_max(vi_min(r, vi_all(127)), vi_all(-127));
        vi_store_bytes(q + i, r);
        sum = vi_add(sum, r);
    }
    return vi_total(sum);
}

// One block; its amax, or 0 where it counts as zero.
static inline float quantize_block(const float *x, int8_t *q, int32_t *sum, size_t n, bool *finite) {
    uint32_t bits = max_magnitude(x, n);
    float amax = q4_bits_float(bits);
    *finite &= bits < 0x7f800000u;
    if (bits >= 0x7f800000u || amax < SMALLEST_AMAX) {
        memset(q, 0, n);
        *sum = 0;
        return 0.0f;
    }
    *sum = round_block(x, 127.0f / amax, q, n);
    return amax;
}

#if LANES == 16
// 16 blocks at a time: their maxima, scales and sums are lanes. False, and nothing is written, where one of them
// counts as zero or is not finite.
static inline bool quantize_16_blocks(const float *x, int8_t *q, float *d, int32_t *sum) {
    vi u[16];
    UNROLLED (b, 16)
        u[b] = vi_max(vi_magnitude(vf_load(x + b * Q4_BLOCK)), vi_magnitude(vf_load(x + b * Q4_BLOCK + LANES)));
    vi bits = vi_largest_of_16(u);
    if (vi_largest(bits) >= 0x7f800000 || vi_least(bits) < (int32_t)q4_float_bits(SMALLEST_AMAX))
        return false;
    vf amax = vi_as_floats(bits);
    float inverse[16];
    vf_store(inverse, vf_div(vf_all(127.0f), amax));
    vf_store(d, vf_round_half(vf_min(vf_div(amax, vf_all(127.0f)), vf_all(HALF_MAX))));
    UNROLLED (b, 16) {
        vf scale = vf_all(inverse[b]);
        // 127 / amax and the product are rounded, which takes no value as far as 127.5: nothing to clamp
        vi low = vi_rounded(vf_mul(vf_load(x + b * Q4_BLOCK), scale));
        vi high = vi_rounded(vf_mul(vf_load(x + b * Q4_BLOCK + LANES), scale));
        vi_store_bytes(q + b * Q4_BLOCK, low);
        vi_store_bytes(q + b * Q4_BLOCK + LANES, high);
        u[b] = vi_add(low, high);
    }
    vi_store(sum, vi_total_of_16(u));
    return true;
}
#endif

bool Q4_JOIN(q4_quantize_q8_vector, ISA)(const float *x, size_t n, int8_t *q, float *d, int32_t *sum) {
    bool finite = true;
    for (size_t b = 0; b < n / Q4_BLOCK; b++) {
#if LANES == 16
        if (n / Q4_BLOCK - b >= 16 && quantize_16_blocks(x + b * Q4_BLOCK, q + b * Q4_BLOCK, d + b, sum + b)) {
            b += 15;
            continue;
        }
#endif
        float scale = quantize_block(x + b * Q4_BLOCK, q + b * Q4_BLOCK, sum + b, Q4_BLOCK, &finite) / 127.0f;
        d[b] = _cvtsh_ss(_cvtss_sh(scale < HALF_MAX ? scale : HALF_MAX, _MM_FROUND_TO_NEAREST_INT));
    }
    return finite;
}

bool Q4_JOIN(q4_quantize_q8k_vector, ISA)(const float *x, size_t n, int8_t *q, float *d, int32_t *unused) {
    bool finite = true;
    int32_t sum;
    (void)unused;
    for (size_t b = 0; b < n / Q4_SUPER; b++)
        d[b] = quantize_block(x + b * Q4_SUPER, q + b * Q4_SUPER, &sum, Q4_SUPER, &finite) / 127.0f;
    return finite;
}

void Q4_JOIN(q4_swiglu_vector, ISA)(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        vf x = vf_load_first(gate + i, n - i), u = vf_load_first(up + i, n - i);
        vf silu = vf_div(x, vf_add(vf_all(1.0f), vf_exp(vf_negate(x))));
        vf_store_first(y + i, n - i, vf_mul(silu, u));
    }
}

void Q4_JOIN(q4_geglu_vector, ISA)(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        vf x = vf_load_first(gate + i, n - i), u = vf_load_first(up + i, n - i);
        vf slope = vf_fma(vf_all(Q4_GELU_CUBIC), vf_mul(x, x), vf_all(Q4_GELU_LINEAR));
        vf gelu = vf_div(x, vf_add(vf_all(1.0f), vf_exp(vf_negate(vf_mul(x, slope)))));
        vf_store_first(y + i, n - i, vf_mul(gelu, u));
    }
}

void Q4_JOIN(q4_cap_vector, ISA)(float *y, size_t n, float cap) {
    for (size_t i = 0; i < n; i += LANES)
        vf_store_first(y + i, n - i, vf_soft_cap(vf_load_first(y + i, n - i), cap));
}

static inline void rotate(vf *x, vf *y, const float *cosines, const float *sines) {
    vf c = vf_load(cosines), s = vf_load(sines), x0 = *x, x1 = *y;
    *x = vf_fma(x0, c, vf_negate(vf_mul(x1, s)));
    *y = vf_fma(x0, s, vf_mul(x1, c));
}

void Q4_JOIN(q4_rope, ISA)(float *x, const float *cos_sin, size_t rope_dim, enum q4_rope_style style);

void Q4_JOIN(q4_rope_vector, ISA)(float *x, const float *cos_sin, size_t rope_dim, enum q4_rope_style style) {
    size_t n = rope_dim / 2;
    if (n % LANES) {
        Q4_JOIN(q4_rope, ISA)(x, cos_sin, rope_dim, style);
        return;
    }
    for (size_t i = 0; i < n; i += LANES) {
        vf a, b;
        if (style == Q4_ROPE_NORM) {
            vf_load_pairs(x + 2 * i, &a, &b);
            rotate(&a, &b, cos_sin + i, cos_sin + n + i);
            vf_store_pairs(x + 2 * i, a, b);
        } else {
            a = vf_load(x + i), b = vf_load(x + n + i);
            rotate(&a, &b, cos_sin + i, cos_sin + n + i);
            vf_store(x + i, a), vf_store(x + n + i, b);
        }
    }
}

#define TOO_LARGE 0x477ff000 // 65520: what rounds to infinity in fp16

bool Q4_JOIN(q4_kv_store, ISA)(void *keys, void *values, const float *k, const float *v, size_t head_dim,
                               size_t position);

bool Q4_JOIN(q4_kv_store_vector, ISA)(void *keys, void *values, const float *k, const float *v, size_t head_dim,
                                      size_t position) {
    if (head_dim % LANES)
        return Q4_JOIN(q4_kv_store, ISA)(keys, values, k, v, head_dim, position);
    uint16_t *kb = (uint16_t *)keys + position / Q4_KV_BLOCK * Q4_KV_BLOCK * head_dim + position % Q4_KV_BLOCK;
    uint16_t *vp = (uint16_t *)values + position * head_dim;
    vi worst = vi_zero();
    for (size_t d = 0; d < head_dim; d += LANES) {
        uint16_t half[LANES];
        vf key = vf_load(k + d), value = vf_load(v + d);
        worst = vi_max(worst, vi_max(vi_magnitude(key), vi_magnitude(value)));
        vf_store_halves(vp + d, value);
        vf_store_halves(half, key);
        for (size_t i = 0; i < LANES; i++)
            kb[(d + i) * Q4_KV_BLOCK] = half[i];
    }
    return vi_largest(worst) < TOO_LARGE;
}

// Tiles of LANES positions x LANES dimensions, turned so that a dimension's positions are stored together.
bool Q4_JOIN(q4_kv_store_16_vector, ISA)(void *keys, void *values, const float *k, const float *v, size_t stride,
                                         size_t head_dim, size_t position) {
    bool fits = true;
    if (head_dim % LANES) {
        for (size_t i = 0; i < 16; i++)
            fits &= Q4_JOIN(q4_kv_store, ISA)(keys, values, k + i * stride, v + i * stride, head_dim, position + i);
        return fits;
    }
    uint16_t *kb = (uint16_t *)keys + position / Q4_KV_BLOCK * Q4_KV_BLOCK * head_dim + position % Q4_KV_BLOCK;
    uint16_t *vp = (uint16_t *)values + position * head_dim;
    vi worst = vi_zero();
    for (size_t first = 0; first < 16; first += LANES)
        for (size_t d = 0; d < head_dim; d += LANES) {
            vf tile[LANES];
            UNROLLED (i, LANES) {
                vf value = vf_load(v + (first + i) * stride + d);
                tile[i] = vf_load(k + (first + i) * stride + d);
                worst = vi_max(worst, vi_max(vi_magnitude(tile[i]), vi_magnitude(value)));
                vf_store_halves(vp + (first + i) * head_dim + d, value);
            }
            vf_transpose(tile);
            UNROLLED (i, LANES)
                vf_store_halves(kb + (d + i) * Q4_KV_BLOCK + first, tile[i]);
        }
    return vi_largest(worst) < TOO_LARGE;
}

bool Q4_JOIN(q4_kv_store_q8_0_vector, ISA)(void *keys, void *values, const float *k, const float *v, size_t head_dim,
                                           size_t position) {
    return q4_kv_store_int8(Q4_JOIN(q4_quantize_q8_vector, ISA), keys, values, k, v, head_dim, position);
}
