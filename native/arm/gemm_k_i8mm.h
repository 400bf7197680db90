// Many tokens times weights with super-blocks, by SMMLA. Included once a kernel with GEMM_NAME, GEMM_TILE and FORMAT
// (k_formats.h). 8 rows are decoded to scratch once for all tokens, as two groups of 4; the tile does the rest.
#include "acts_pack.h"
#include "k_formats.h"

#include <string.h>

#define ACTS_BYTES (MINIMA == 16 ? PAIRS8_K_16_BYTES : PAIRS8_K_BYTES)
#define GROUP_ROWS 4
#define HALF_ROWS 8
#define SUB_OUT (QUADS * 16 + 32) // decoded bytes of a sub-block of a group: weights and steps of the sub-scales
#define MINIMA_OUT (MINIMA ? 4 * Q4_SUPER / (MINIMA + !MINIMA) : 0) // … and of minima
#define HEADER_OUT (MINIMA ? 64 + MINIMA_OUT : 32)
#define BLOCK_OUT (HEADER_OUT + SUBS * SUB_OUT)

void GEMM_TILE(const uint8_t *panel, const uint8_t *acts, size_t n_blocks, float *y, size_t stride);

void q4_decode_q4_k_i8mm(const int8_t *scales, const uint8_t *weights, uint8_t *first, uint8_t *second);

// [v0, v1, v0, v1], [v2, v3, v2, v3]
static inline void store_pairs(uint8_t *out, uint32x4_t v) {
    vst1q_u32((uint32_t *)out, vcombine_u32(vget_low_u32(v), vget_low_u32(v)));
    vst1q_u32((uint32_t *)out + 4, vcombine_u32(vget_high_u32(v), vget_high_u32(v)));
}

// Two quads of 4 rows as 2 row pairs of 8 columns (of minima: sub-blocks)
static inline void store_chunk(uint8_t *out, uint8x16_t a, uint8x16_t b) {
    uint32x4_t first = vreinterpretq_u32_u8(a), second = vreinterpretq_u32_u8(b);
    vst1q_u32((uint32_t *)out, vzip1q_u32(first, second));
    vst1q_u32((uint32_t *)out + 4, vzip2q_u32(first, second));
}

static inline void store_fields(uint8_t *const out[2], float16x8_t v) {
    store_pairs(out[0], vreinterpretq_u32_f32(vcvt_f32_f16(vget_low_f16(v))));
    store_pairs(out[1], vreinterpretq_u32_f32(vcvt_high_f32_f16(v)));
}

static inline void decode_block(uint8_t *const out[2], const uint8_t *block, size_t half) {
    store_fields(out, field_of(block, 0, half));
#if MINIMA
    store_fields((uint8_t *const[2]){out[0] + 32, out[1] + 32}, field_of(block, 1, half));
    for (size_t g = 0; g < 2; g++)
        for (size_t s = 0; s < SUBS; s += 8)
            store_chunk(out[g] + 64 + 4 * s, minima_of(block, 2 * half + g, s), minima_of(block, 2 * half + g, s + 4));
#endif
#if FORMAT == Q4_K
    const int8_t *scales = scales_of(block, 0);
    q4_decode_q4_k_i8mm(scales + half * 8, (const uint8_t *)scales + 16 + half * 32, out[0] + HEADER_OUT,
                        out[1] + HEADER_OUT);
#else
    for (size_t s = 0; s < SUBS; s++) {
        size_t at = HEADER_OUT + s * SUB_OUT;
        for (size_t g = 0; g < 2; g++) {
            uint8x16_t quads[QUADS];
            decode_quads(quads, block, s, 2 * half + g);
            for (size_t i = 0; i < QUADS; i += 2)
                store_chunk(out[g] + at + 16 * i, quads[i], quads[i + 1]);
        }
        int16x8_t step = steps_of(block, s, half);
        store_pairs(out[0] + at + QUADS * 16, vreinterpretq_u32_s32(vmovl_s16(vget_low_s16(step))));
        store_pairs(out[1] + at + QUADS * 16, vreinterpretq_u32_s32(vmovl_high_s16(step)));
    }
#endif
}

static void decode_rows(uint8_t *out, const uint8_t *panel, size_t half, size_t n_blocks) {
    uint8_t *groups[2] = {out, out + n_blocks * BLOCK_OUT};
    for (size_t b = 0; b < n_blocks; b++, panel += BLOCK_IN) {
        decode_block(groups, panel, half);
        groups[0] += BLOCK_OUT;
        groups[1] += BLOCK_OUT;
    }
}

// A group times 8 tokens, of which the first `tokens` x `rows` results are written.
static void run_tile(const uint8_t *group, const uint8_t *acts, size_t n_blocks, float *y, size_t stride, size_t tokens,
                     size_t rows) {
    if (tokens == PAIRS8_TOKENS && rows == GROUP_ROWS) {
        GEMM_TILE(group, acts, n_blocks, y, stride * sizeof *y);
        return;
    }
    float part[PAIRS8_TOKENS][GROUP_ROWS];
    GEMM_TILE(group, acts, n_blocks, part[0], sizeof part[0]);
    for (size_t i = 0; i < tokens; i++)
        memcpy(y + i * stride, part[i], rows * sizeof *y);
}

size_t Q4_JOIN(GEMM_NAME, scratch)(size_t k) { return k / Q4_SUPER * 2 * BLOCK_OUT; }

void GEMM_NAME(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_SUPER, tile_bytes = n_blocks * ACTS_BYTES;
    const uint8_t *acts0 = t->acts->packed + t->token0 / PAIRS8_TOKENS * tile_bytes;
    for (size_t r = 0; r < t->n_rows; r += HALF_ROWS) {
        decode_rows(t->scratch, t->weights + r / PANEL_ROWS * n_blocks * BLOCK_IN, r % PANEL_ROWS / HALF_ROWS,
                    n_blocks);
        const uint8_t *acts = acts0;
        for (size_t i = 0; i < t->n_tokens; i += PAIRS8_TOKENS, acts += tile_bytes)
            for (size_t g = 0; g < HALF_ROWS && r + g < t->n_rows; g += GROUP_ROWS)
                run_tile(t->scratch + g / GROUP_ROWS * n_blocks * BLOCK_OUT, acts, n_blocks,
                         t->y + i * t->y_stride + r + g, t->y_stride, q4_min_size(PAIRS8_TOKENS, t->n_tokens - i),
                         q4_min_size(GROUP_ROWS, t->n_rows - r - g));
    }
}
