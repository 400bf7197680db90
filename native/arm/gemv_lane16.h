// One token times Q4_1 or Q8_0 weights in the layout lane16 (Q4_0: gemv_q4_0.h). Included once a kernel with these
// macros:
//   GEMV_NAME         the kernel's function
//   GEMV_TYPE         Q4_1 or Q8_0
//   GEMV_FHM          1: scale products by FMLAL, 0: by FCVTL and FMUL (both are exact: dx is an fp16 value)
// 16 rows stay in four fp32 accumulators over all columns.
#include "lane16.h"

#include <arm_neon.h>

#define Q4_1 1
#define Q8_0 8

#define HEADER_BYTES (GEMV_TYPE == Q4_1 ? 64 : 32) // d, m

// out[4]: (fp16 d[16]) * dx
static inline void scale_products(float32x4_t out[4], const uint8_t *half, float dx) {
    float16x8_t d0 = vreinterpretq_f16_u16(vld1q_u16((const uint16_t *)half));
    float16x8_t d1 = vreinterpretq_f16_u16(vld1q_u16((const uint16_t *)half + 8));
#if GEMV_FHM
    float16x4_t x = vcvt_f16_f32(vsetq_lane_f32(dx, vdupq_n_f32(0), 0));
    float32x4_t zero = vdupq_n_f32(0.0f);
    out[0] = vfmlalq_lane_low_f16(zero, d0, x, 0);
    out[1] = vfmlalq_lane_high_f16(zero, d0, x, 0);
    out[2] = vfmlalq_lane_low_f16(zero, d1, x, 0);
    out[3] = vfmlalq_lane_high_f16(zero, d1, x, 0);
#else
    out[0] = vmulq_n_f32(vcvt_f32_f16(vget_low_f16(d0)), dx);
    out[1] = vmulq_n_f32(vcvt_high_f32_f16(d0), dx);
    out[2] = vmulq_n_f32(vcvt_f32_f16(vget_low_f16(d1)), dx);
    out[3] = vmulq_n_f32(vcvt_high_f32_f16(d1), dx);
#endif
}

#define DOT(ACC, W, X, LANE) ACC = vdotq_laneq_s32(ACC, W, X, LANE)

// The group's vector of column quad C; quads are 64 bytes apart
#define QUAD(W, C) ((const uint8_t *)(W) + 64 * (C))

#if GEMV_TYPE == Q8_0

#define WEIGHT_BYTES 512
static inline int32x4_t dot_group(const uint8_t *w, int8x16_t x0, int8x16_t x1) {
    int32x4_t s = vdupq_n_s32(0);
#define SIGNED(C) vreinterpretq_s8_u8(vld1q_u8(QUAD(w, C)))
    DOT(s, SIGNED(0), x0, 0);
    DOT(s, SIGNED(1), x0, 1);
    DOT(s, SIGNED(2), x0, 2);
    DOT(s, SIGNED(3), x0, 3);
    DOT(s, SIGNED(4), x1, 0);
    DOT(s, SIGNED(5), x1, 1);
    DOT(s, SIGNED(6), x1, 2);
    DOT(s, SIGNED(7), x1, 3);
    return s;
}

#else

#define WEIGHT_BYTES 256
#define LOW(V) vreinterpretq_s8_u8(vandq_u8(V, vdupq_n_u8(0x0f)))
#define HIGH(V) vreinterpretq_s8_u8(vshrq_n_u8(V, 4))
static inline int32x4_t dot_group(const uint8_t *w, int8x16_t x0, int8x16_t x1) {
    int32x4_t s = vdupq_n_s32(0);
    uint8x16_t v0 = vld1q_u8(w), v1 = vld1q_u8(QUAD(w, 1)), v2 = vld1q_u8(QUAD(w, 2)), v3 = vld1q_u8(QUAD(w, 3));
    DOT(s, LOW(v0), x0, 0);
    DOT(s, LOW(v1), x0, 1);
    DOT(s, LOW(v2), x0, 2);
    DOT(s, LOW(v3), x0, 3);
    DOT(s, HIGH(v0), x1, 0);
    DOT(s, HIGH(v1), x1, 1);
    DOT(s, HIGH(v2), x1, 2);
    DOT(s, HIGH(v3), x1, 3);
    return s;
}

#endif

// 32 columns of 16 rows
static inline void add_block(float32x4_t acc[4], const uint8_t *w, const int8_t *q, float dx, int32_t sum) {
    int8x16_t x0 = vld1q_s8(q), x1 = vld1q_s8(q + 16);
    float32x4_t scale[4];
    scale_products(scale, w, dx);
    const uint8_t *weights = w + HEADER_BYTES;
    for (int g = 0; g < 4; g++)
        acc[g] = vfmaq_f32(acc[g], vcvtq_f32_s32(dot_group(weights + 16 * g, x0, x1)), scale[g]);
#if GEMV_TYPE == Q4_1
    float32x4_t total = vdupq_n_f32((float)sum);
    scale_products(scale, w + 32, dx);
    for (int g = 0; g < 4; g++)
        acc[g] = vfmaq_f32(acc[g], total, scale[g]);
#else
    (void)sum;
#endif
}

void GEMV_NAME(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_BLOCK;
    const uint8_t *w = t->weights;
    for (size_t r = 0; r < t->n_rows; r += LANE16_ROWS) {
        const int8_t *q = t->acts->q + t->token0 * t->k;
        const float *d = t->acts->d + t->token0 * n_blocks;
        const int32_t *sum = t->acts->sum + t->token0 * n_blocks;
        float32x4_t acc[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
        for (size_t b = 0; b < n_blocks; b++, q += Q4_BLOCK, w += HEADER_BYTES + WEIGHT_BYTES)
            add_block(acc, w, q, d[b], GEMV_TYPE == Q4_1 ? sum[b] : 0);
        float y[LANE16_ROWS];
        for (int g = 0; g < 4; g++)
            vst1q_f32(y + 4 * g, acc[g]);
        q4_store_rows16(t->y + r, y, t->n_rows - r);
    }
}
