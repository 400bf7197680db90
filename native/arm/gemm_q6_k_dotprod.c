// Many tokens times Q6_K weights in the layout q6b, by SDOT. A panel is decoded to scratch once for all tokens; tiles
// are 8 rows x 4 tokens.
#include "acts_pack.h"
#include "q6b.h"

#include <arm_neon.h>
#include <string.h>

// A decoded super-block: int8 4 w [16 sub-blocks][2 groups][4 column quads][16], int32 scales [16][2][4], fp32 d[8]
#define SCALES_OUT (Q6B_ROWS * Q4_SUPER)
#define D_OUT (SCALES_OUT + Q6B_SUB_BLOCKS * Q6B_ROWS * 4)
#define BLOCK_OUT (D_OUT + 64)

static inline void decode_quads(uint8_t *out, const uint8_t *in) {
    uint8x16_t v0 = vld1q_u8(in), v1 = vld1q_u8(in + 16), v2 = vld1q_u8(in + 32), mask = vdupq_n_u8(0xfc);
    vst1q_u8(out, vandq_u8(v0, mask));
    vst1q_u8(out + 16, vandq_u8(v1, mask));
    vst1q_u8(out + 32, vandq_u8(v2, mask));
    vst1q_u8(out + 48, vshlq_n_u8(vsliq_n_u8(vsliq_n_u8(v0, v1, 2), v2, 4), 2));
}

static inline void decode_scales(int32_t *out, const int8_t *in) {
    int16x8_t s = vmovl_s8(vld1_s8(in));
    vst1q_s32(out, vmovl_s16(vget_low_s16(s)));
    vst1q_s32(out + 4, vmovl_high_s16(s));
}

static void decode_panel(uint8_t *out, const uint8_t *panel, size_t n_blocks) {
    for (size_t b = 0; b < n_blocks; b++, panel += Q6B_BYTES, out += BLOCK_OUT) {
        float16x8_t d = vreinterpretq_f16_u16(vld1q_u16((const uint16_t *)panel));
        vst1q_f32((float *)(out + D_OUT), vcvt_f32_f16(vget_low_f16(d)));
        vst1q_f32((float *)(out + D_OUT) + 4, vcvt_high_f32_f16(d));
        for (size_t s = 0; s < Q6B_SUB_BLOCKS; s++) {
            decode_scales((int32_t *)(out + SCALES_OUT) + s * 8, (const int8_t *)panel + Q6B_SCALES + s * 8);
            decode_quads(out + s * 128, panel + Q6B_WEIGHTS + s * Q6B_SUB_BYTES);
            decode_quads(out + s * 128 + 64, panel + Q6B_WEIGHTS + s * Q6B_SUB_BYTES + 48);
        }
    }
}

#define DOT4(W, LANE)                                                                                                  \
    do {                                                                                                               \
        int8x16_t w_ = W;                                                                                              \
        part[0] = vdotq_laneq_s32(part[0], w_, x[0], LANE);                                                            \
        part[1] = vdotq_laneq_s32(part[1], w_, x[1], LANE);                                                            \
        part[2] = vdotq_laneq_s32(part[2], w_, x[2], LANE);                                                            \
        part[3] = vdotq_laneq_s32(part[3], w_, x[3], LANE);                                                            \
    } while (0)

// 4 rows x 16 columns x 4 tokens, times the rows' sub-scales
static inline void add_sub_block(int32x4_t sum[4], const int8_t *w, int32x4_t scale, const int8x16_t x[4]) {
    int32x4_t part[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    DOT4(vld1q_s8(w), 0);
    DOT4(vld1q_s8(w + 16), 1);
    DOT4(vld1q_s8(w + 32), 2);
    DOT4(vld1q_s8(w + 48), 3);
    for (int i = 0; i < 4; i++)
        sum[i] = vmlaq_s32(sum[i], part[i], scale);
}

static inline void add_scaled(float32x4_t acc[4], const int32x4_t sum[4], float32x4_t d, float32x4_t dx) {
    acc[0] = vfmaq_f32(acc[0], vcvtq_n_f32_s32(sum[0], 2), vmulq_laneq_f32(d, dx, 0));
    acc[1] = vfmaq_f32(acc[1], vcvtq_n_f32_s32(sum[1], 2), vmulq_laneq_f32(d, dx, 1));
    acc[2] = vfmaq_f32(acc[2], vcvtq_n_f32_s32(sum[2], 2), vmulq_laneq_f32(d, dx, 2));
    acc[3] = vfmaq_f32(acc[3], vcvtq_n_f32_s32(sum[3], 2), vmulq_laneq_f32(d, dx, 3));
}

static inline void tile_block(float32x4_t acc[2][4], const uint8_t *w, const uint8_t *acts) {
    int32x4_t sum[2][4];
    for (int i = 0; i < 4; i++)
        sum[0][i] = sum[1][i] = vdupq_n_s32(0);
    const int32_t *scales = (const int32_t *)(w + SCALES_OUT);
    for (size_t s = 0; s < Q6B_SUB_BLOCKS; s++, scales += 8) {
        int8x16_t x[4];
        for (int i = 0; i < 4; i++)
            x[i] = vld1q_s8((const int8_t *)acts + s * 64 + i * 16);
        add_sub_block(sum[0], (const int8_t *)w + s * 128, vld1q_s32(scales), x);
        add_sub_block(sum[1], (const int8_t *)w + s * 128 + 64, vld1q_s32(scales + 4), x);
    }
    float32x4_t dx = vld1q_f32((const float *)(acts + QUAD4_K_D));
    const float *d = (const float *)(w + D_OUT);
    add_scaled(acc[0], sum[0], vld1q_f32(d), dx);
    add_scaled(acc[1], sum[1], vld1q_f32(d + 4), dx);
}

static void run_tile(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float y[QUAD4_TOKENS][Q6B_ROWS]) {
    float32x4_t acc[2][4];
    for (int i = 0; i < 4; i++)
        acc[0][i] = acc[1][i] = vdupq_n_f32(0);
    for (size_t b = 0; b < n_blocks; b++, panel += BLOCK_OUT, acts += QUAD4_K_BYTES)
        tile_block(acc, panel, acts);
    for (int i = 0; i < 4; i++) {
        vst1q_f32(y[i], acc[0][i]);
        vst1q_f32(y[i] + 4, acc[1][i]);
    }
}

size_t q4_gemm_q6_k_dotprod_scratch(size_t k) { return k / Q4_SUPER * BLOCK_OUT; }

void q4_gemm_q6_k_dotprod(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_SUPER, tile_bytes = n_blocks * QUAD4_K_BYTES;
    const uint8_t *panel = t->weights, *acts0 = t->acts->packed + t->token0 / QUAD4_TOKENS * tile_bytes;
    for (size_t r = 0; r < t->n_rows; r += Q6B_ROWS, panel += n_blocks * Q6B_BYTES) {
        decode_panel(t->scratch, panel, n_blocks);
        size_t rows = q4_min_size(Q6B_ROWS, t->n_rows - r);
        const uint8_t *acts = acts0;
        for (size_t i = 0; i < t->n_tokens; i += QUAD4_TOKENS, acts += tile_bytes) {
            float y[QUAD4_TOKENS][Q6B_ROWS];
            run_tile(t->scratch, acts, n_blocks, y);
            for (size_t j = 0; j < q4_min_size(QUAD4_TOKENS, t->n_tokens - i); j++)
                memcpy(t->y + (i + j) * t->y_stride + r, y[j], rows * sizeof(float));
        }
    }
}
