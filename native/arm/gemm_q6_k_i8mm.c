// Many tokens times Q6_K weights in the layout q6b, by SMMLA. A panel is decoded to scratch once for all tokens, as two
// groups of 4 rows; q4_tile4x8_k_i8mm does the rest.
#include "acts_pack.h"
#include "q6b.h"

#include <arm_neon.h>
#include <string.h>

#define GROUP_ROWS 4
#define SUB_OUT (64 + 32) // decoded bytes of a sub-block of a group: weights and steps of the sub-scales
#define BLOCK_OUT (32 + Q6B_SUB_BLOCKS * SUB_OUT)

void q4_tile4x8_k_i8mm(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride);

// [v0, v1, v0, v1], [v2, v3, v2, v3]
static inline void store_pairs(uint8_t *out, uint32x4_t v) {
    vst1q_u32((uint32_t *)out, vcombine_u32(vget_low_u32(v), vget_low_u32(v)));
    vst1q_u32((uint32_t *)out + 4, vcombine_u32(vget_high_u32(v), vget_high_u32(v)));
}

// Two column quads of 4 rows as 2 row pairs of 8 columns
static inline void store_chunk(uint8_t *out, uint8x16_t quad0, uint8x16_t quad1) {
    uint32x4_t a = vreinterpretq_u32_u8(quad0), b = vreinterpretq_u32_u8(quad1);
    vst1q_u8(out, vreinterpretq_u8_u32(vzip1q_u32(a, b)));
    vst1q_u8(out + 16, vreinterpretq_u8_u32(vzip2q_u32(a, b)));
}

static inline void decode_quads(uint8_t *out, const uint8_t *in) {
    uint8x16_t v0 = vld1q_u8(in), v1 = vld1q_u8(in + 16), v2 = vld1q_u8(in + 32), mask = vdupq_n_u8(0xfc);
    uint8x16_t last = vshlq_n_u8(vsliq_n_u8(vsliq_n_u8(v0, v1, 2), v2, 4), 2);
    store_chunk(out, vandq_u8(v0, mask), vandq_u8(v1, mask));
    store_chunk(out + 32, vandq_u8(v2, mask), last);
}

// out[0]: of the first 4 rows, out[1]: of the others
static inline void decode_block(uint8_t *const out[2], const uint8_t *block) {
    float16x8_t d = vreinterpretq_f16_u16(vld1q_u16((const uint16_t *)block));
    store_pairs(out[0], vreinterpretq_u32_f32(vcvt_f32_f16(vget_low_f16(d))));
    store_pairs(out[1], vreinterpretq_u32_f32(vcvt_high_f32_f16(d)));
    const int8_t *scales = (const int8_t *)block + Q6B_SCALES;
    for (size_t s = 0; s < Q6B_SUB_BLOCKS; s++) {
        int8x8_t next = s + 1 < Q6B_SUB_BLOCKS ? vld1_s8(scales + (s + 1) * Q6B_ROWS) : vdup_n_s8(0);
        int16x8_t step = vsubl_s8(vld1_s8(scales + s * Q6B_ROWS), next);
        const uint8_t *weights = block + Q6B_WEIGHTS + s * Q6B_SUB_BYTES;
        size_t at = 32 + s * SUB_OUT;
        decode_quads(out[0] + at, weights);
        decode_quads(out[1] + at, weights + Q6B_SUB_BYTES / 2);
        store_pairs(out[0] + at + 64, vreinterpretq_u32_s32(vmovl_s16(vget_low_s16(step))));
        store_pairs(out[1] + at + 64, vreinterpretq_u32_s32(vmovl_high_s16(step)));
    }
}

static void decode_panel(uint8_t *out, const uint8_t *panel, size_t n_blocks) {
    uint8_t *groups[2] = {out, out + n_blocks * BLOCK_OUT};
    for (size_t b = 0; b < n_blocks; b++, panel += Q6B_BYTES) {
        decode_block(groups, panel);
        groups[0] += BLOCK_OUT;
        groups[1] += BLOCK_OUT;
    }
}

// A group times 8 tokens, of which the first `tokens` x `rows` results are written.
static void run_tile(const uint8_t *group, const uint8_t *acts, size_t n_blocks, float *y, size_t stride, size_t tokens,
                     size_t rows) {
    if (tokens == PAIRS8_TOKENS && rows == GROUP_ROWS) {
        q4_tile4x8_k_i8mm(group, acts, n_blocks, y, stride * sizeof *y);
        return;
    }
    float part[PAIRS8_TOKENS][GROUP_ROWS];
    q4_tile4x8_k_i8mm(group, acts, n_blocks, part[0], sizeof part[0]);
    for (size_t i = 0; i < tokens; i++)
        memcpy(y + i * stride, part[i], rows * sizeof *y);
}

size_t q4_gemm_q6_k_i8mm_scratch(size_t k) { return k / Q4_SUPER * 2 * BLOCK_OUT; }

void q4_gemm_q6_k_i8mm(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_SUPER, tile_bytes = n_blocks * PAIRS8_K_BYTES;
    const uint8_t *panel = t->weights, *acts0 = t->acts->packed + t->token0 / PAIRS8_TOKENS * tile_bytes;
    for (size_t r = 0; r < t->n_rows; r += Q6B_ROWS, panel += n_blocks * Q6B_BYTES) {
        decode_panel(t->scratch, panel, n_blocks);
        const uint8_t *acts = acts0;
        for (size_t i = 0; i < t->n_tokens; i += PAIRS8_TOKENS, acts += tile_bytes)
            for (size_t g = 0; g < Q6B_ROWS && r + g < t->n_rows; g += GROUP_ROWS)
                run_tile(t->scratch + g / GROUP_ROWS * n_blocks * BLOCK_OUT, acts, n_blocks,
                         t->y + i * t->y_stride + r + g, t->y_stride, q4_min_size(PAIRS8_TOKENS, t->n_tokens - i),
                         q4_min_size(GROUP_ROWS, t->n_rows - r - g));
    }
}
