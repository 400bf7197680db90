// Operations that compilers do not vectorise well from native/ops, in NEON; the arithmetic is written down there.
#include "../ops/kv_q8_0.h"
#include "../ops/ops.h"
#include "vec_math.h"

#include <arm_neon.h>

#define SMALLEST_AMAX 0x1p-110f
#define HALF_MAX 65504.0f
#define INFINITY_BITS 0x7f800000u

// ---- activations to int8 ------------------------------------------------------------------------

static inline uint32_t max_magnitude(const float *x, size_t n) {
    uint32x4_t worst = vdupq_n_u32(0), clear = vdupq_n_u32(0x7fffffff);
    for (size_t i = 0; i < n; i += 4)
        worst = vmaxq_u32(worst, vandq_u32(vld1q_u32((const uint32_t *)x + i), clear));
    return vmaxvq_u32(worst);
}

// FCVTN* rounds to nearest even; no product exceeds 127.5, so saturation only has -128 to avoid, and does not meet it.
static inline int8x16_t round16(const float *x, float inverse) {
    int32x4_t r[4];
    for (size_t i = 0; i < 4; i++)
        r[i] = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), inverse));
    int16x8_t low = vqmovn_high_s32(vqmovn_s32(r[0]), r[1]), high = vqmovn_high_s32(vqmovn_s32(r[2]), r[3]);
    return vmaxq_s8(vqmovn_high_s16(vqmovn_s16(low), high), vdupq_n_s8(-127));
}

bool q4_quantize_q8_neon(const float *x, size_t n, int8_t *q, float *d, int32_t *sum) {
    uint32_t worst = 0;
    for (size_t b = 0; b < n / Q4_BLOCK; b++, x += Q4_BLOCK, q += Q4_BLOCK) {
        uint32_t bits = max_magnitude(x, Q4_BLOCK);
        float amax = q4_bits_float(bits);
        worst = bits > worst ? bits : worst;
        if (bits >= INFINITY_BITS || amax < SMALLEST_AMAX) {
            memset(q, 0, Q4_BLOCK);
            d[b] = 0.0f;
            sum[b] = 0;
            continue;
        }
        float inverse = 127.0f / amax, scale = amax / 127.0f;
        int8x16_t low = round16(x, inverse), high = round16(x + 16, inverse);
        vst1q_s8(q, low);
        vst1q_s8(q + 16, high);
        sum[b] = vaddvq_s16(vpadalq_s8(vpaddlq_s8(low), high));
        d[b] = (float)(__fp16)(scale < HALF_MAX ? scale : HALF_MAX);
    }
    return worst < INFINITY_BITS;
}

bool q4_quantize_q8k_neon(const float *x, size_t n, int8_t *q, float *d, int32_t *sum) {
    (void)sum;
    uint32_t worst = 0;
    for (size_t b = 0; b < n / Q4_SUPER; b++, x += Q4_SUPER, q += Q4_SUPER) {
        uint32_t bits = max_magnitude(x, Q4_SUPER);
        float amax = q4_bits_float(bits);
        worst = bits > worst ? bits : worst;
        if (bits >= INFINITY_BITS || amax < SMALLEST_AMAX) {
            memset(q, 0, Q4_SUPER);
            d[b] = 0.0f;
            continue;
        }
        float inverse = 127.0f / amax;
        for (size_t i = 0; i < Q4_SUPER; i += 16)
            vst1q_s8(q + i, round16(x + i, inverse));
        d[b] = amax / 127.0f;
    }
    return worst < INFINITY_BITS;
}

// ---- the KV cache -------------------------------------------------------------------------------

bool q4_kv_store_base(void *keys, void *values, const float *k, const float *v, size_t head_dim, size_t position);

bool q4_kv_store_neon(void *keys, void *values, const float *k, const float *v, size_t head_dim, size_t position) {
    if (head_dim % 4)
        return q4_kv_store_base(keys, values, k, v, head_dim, position);
    uint16_t *key = (uint16_t *)keys + position / Q4_KV_BLOCK * Q4_KV_BLOCK * head_dim + position % Q4_KV_BLOCK;
    uint16_t *value = (uint16_t *)values + position * head_dim;
    uint16x4_t worst = vdup_n_u16(0), clear = vdup_n_u16(0x7fff);
    for (size_t d = 0; d < head_dim; d += 4, key += 4 * Q4_KV_BLOCK) {
        uint16x4_t a = vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(k + d)));
        uint16x4_t b = vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(v + d)));
        worst = vmax_u16(worst, vmax_u16(vand_u16(a, clear), vand_u16(b, clear)));
        vst1_u16(value + d, b);
        vst1_lane_u16(key, a, 0);
        vst1_lane_u16(key + Q4_KV_BLOCK, a, 1);
        vst1_lane_u16(key + 2 * Q4_KV_BLOCK, a, 2);
        vst1_lane_u16(key + 3 * Q4_KV_BLOCK, a, 3);
    }
    return vmaxv_u16(worst) < 0x7c00;
}

bool q4_kv_store_q8_0_neon(void *keys, void *values, const float *k, const float *v, size_t head_dim, size_t position) {
    return q4_kv_store_int8(q4_quantize_q8_neon, keys, values, k, v, head_dim, position);
}

// ---- SwiGLU -------------------------------------------------------------------------------------

void q4_swiglu_neon(float *y, const float *gate, const float *up, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t x = vld1q_f32(gate + i);
        float32x4_t silu = vdivq_f32(x, vaddq_f32(vdupq_n_f32(1.0f), q4_vec_exp(vnegq_f32(x))));
        vst1q_f32(y + i, vmulq_f32(silu, vld1q_f32(up + i)));
    }
    for (; i < n; i++)
        y[i] = q4_silu(gate[i]) * up[i];
}

void q4_geglu_neon(float *y, const float *gate, const float *up, size_t n) {
    const float32x4_t one = vdupq_n_f32(1.0f), cubic = vdupq_n_f32(Q4_GELU_CUBIC);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t x = vld1q_f32(gate + i);
        float32x4_t slope = vfmaq_f32(vdupq_n_f32(Q4_GELU_LINEAR), cubic, vmulq_f32(x, x));
        float32x4_t gelu = vdivq_f32(x, vaddq_f32(one, q4_vec_exp(vnegq_f32(vmulq_f32(x, slope)))));
        vst1q_f32(y + i, vmulq_f32(gelu, vld1q_f32(up + i)));
    }
    for (; i < n; i++)
        y[i] = q4_gelu(gate[i]) * up[i];
}

void q4_cap_neon(float *y, size_t n, float cap) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, q4_vec_soft_cap(vld1q_f32(y + i), cap));
    for (; i < n; i++)
        y[i] = q4_soft_cap(y[i], cap);
}

// ---- sums and checks ----------------------------------------------------------------------------

void q4_add_neon(float *y, const float *x, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t j = i; j < i + 16; j += 4)
            vst1q_f32(y + j, vaddq_f32(vld1q_f32(y + j), vld1q_f32(x + j)));
    for (; i < n; i++)
        y[i] += x[i];
}

// Zero times what is not finite is not a number, and stays so in a sum.
bool q4_all_finite_neon(const float *x, size_t n) {
    float32x4_t sum[4] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
    float rest = 0.0f;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t j = 0; j < 4; j++)
            sum[j] = vfmaq_n_f32(sum[j], vld1q_f32(x + i + 4 * j), 0.0f);
    for (; i < n; i++)
        rest += x[i] * 0.0f;
    return vaddvq_f32(vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3]))) + rest == 0.0f;
}

// ---- RoPE ---------------------------------------------------------------------------------------

void q4_rope_base(float *x, const float *cos_sin, size_t rope_dim, enum q4_rope_style style);

static inline float32x4x2_t rotate(float32x4x2_t x, float32x4_t c, float32x4_t s) {
    float32x4_t first = vfmaq_f32(vnegq_f32(vmulq_f32(x.val[1], s)), x.val[0], c);
    float32x4_t second = vfmaq_f32(vmulq_f32(x.val[1], c), x.val[0], s);
    return (float32x4x2_t){{first, second}};
}

void q4_rope_neon(float *x, const float *cos_sin, size_t rope_dim, enum q4_rope_style style) {
    size_t n = rope_dim / 2;
    if (n % 4) {
        q4_rope_base(x, cos_sin, rope_dim, style);
        return;
    }
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t c = vld1q_f32(cos_sin + i), s = vld1q_f32(cos_sin + n + i);
        if (style == Q4_ROPE_NORM) {
            vst2q_f32(x + 2 * i, rotate(vld2q_f32(x + 2 * i), c, s));
        } else {
            float32x4x2_t y = rotate((float32x4x2_t){{vld1q_f32(x + i), vld1q_f32(x + n + i)}}, c, s);
            vst1q_f32(x + i, y.val[0]);
            vst1q_f32(x + n + i, y.val[1]);
        }
    }
}
