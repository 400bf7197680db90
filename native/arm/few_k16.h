// A few tokens times weights with super-blocks, 8 rows at a time (Q4_K and Q5_K: few_k16_blocks.h, Q6_K: few_q6_k.h).
// Included once a kernel with FEW_NAME, FORMAT (k_formats.h) and, for SMMLA, FEW_I8MM.
#include "few.h"

#include "k_formats.h"

// Decoded weights are 2^FACTOR_BITS w.
#if FORMAT == Q3_K
#define FACTOR_BITS 5
#else
#define FACTOR_BITS 0
#endif
#if FACTOR_BITS
#define TO_FLOAT(V) vcvtq_n_f32_s32(V, FACTOR_BITS)
#else
#define TO_FLOAT(V) vcvtq_f32_s32(V)
#endif

// A super-block of packed activations
#ifdef FEW_I8MM
#define PACKING (MINIMA == 16 ? &q4_pairs8_k_16 : &q4_pairs8_k)
#define ACTS_BYTES (MINIMA == 16 ? PAIRS8_K_16_BYTES : PAIRS8_K_BYTES)
#define ACTS_D 0
#define ACTS_SUMS PAIRS8_K_SUMS
#define ACTS_Q (ACTS_BYTES - 8 * Q4_SUPER)
#else
#define PACKING (MINIMA == 16 ? &q4_quad4_k_16 : &q4_quad4_k)
#define ACTS_BYTES (MINIMA == 16 ? QUAD4_K_16_BYTES : QUAD4_K_BYTES)
#define ACTS_D (ACTS_BYTES - 64)
#define ACTS_SUMS QUAD4_K_SUMS
#define ACTS_Q 0
#endif
#define SUB_ACTS (FEW_TILE * Q4_SUPER / SUBS) // bytes of a sub-block's

// Adds a sub-block's products times its scales.
FEW_INLINE void add_products(int32x4_t total[], uint8x16_t v[], int32x4_t scale, const int8x16_t x[][FEW_TOKENS],
                             size_t width) {
    int32x4_t sum[FEW_TOKENS];
    UNROLLED (i, SUMS(width))
        sum[i] = vdupq_n_s32(0);
    group_products(sum, v, x, QUADS, width);
#ifdef FEW_I8MM
    int32x2_t first = vget_low_s32(scale), last = vget_high_s32(scale);
    int32x4_t both[2] = {vcombine_s32(first, first), vcombine_s32(last, last)};
    UNROLLED (i, SUMS(width))
        total[i] = vmlaq_s32(total[i], sum[i], both[i % 2]);
#else
    UNROLLED (i, SUMS(width))
        total[i] = vmlaq_s32(total[i], sum[i], scale);
#endif
}

#if MINIMA
// A group's minima times the sums of activations, which come in two parts (k16.h).
FEW_INLINE void minima_products(int32x4_t below[], const uint8_t *block, size_t group, const uint8_t *acts,
                                size_t width) {
    UNROLLED (i, SUMS(width))
        below[i] = vdupq_n_s32(0);
    UNROLLED (part, 2) {
        if (part)
            UNROLLED (i, SUMS(width))
                below[i] = vshlq_n_s32(below[i], 6);
#ifdef FEW_I8MM
        UNROLLED (s, SUBS / 8) {
            uint8x16_t v[2] = {minima_of(block, group, 8 * s), minima_of(block, group, 8 * s + 4)};
            ZIP_QUADS(v, 2);
            int8x16_t x[1][FEW_TOKENS];
            load_acts(x, acts + ACTS_SUMS + (part * SUBS / 8 + s) * 64, 2, width);
            group_products(below, v, x, 2, width);
        }
#else
        UNROLLED (s, SUBS / 4)
            UNROLLED (t, width) {
                int8x16_t minima = vreinterpretq_s8_u8(minima_of(block, group, 4 * s));
                const int32_t *four = (const int32_t *)(acts + ACTS_SUMS + t * 2 * SUBS + part * SUBS + 4 * s);
                below[t] = vdotq_s32(below[t], minima, vreinterpretq_s8_s32(vld1q_dup_s32(four)));
            }
#endif
    }
}
#endif

FEW_INLINE float32x4_t field_of_group(const uint8_t *block, size_t field, size_t half, size_t g) {
    float16x8_t rows = field_of(block, field, half);
    return g ? vcvt_high_f32_f16(rows) : vcvt_f32_f16(vget_low_f16(rows));
}

FEW_INLINE void few_block(float32x4_t acc[][FEW_TOKENS], const uint8_t *block, size_t half, const uint8_t *acts,
                          size_t width) {
    int32x4_t total[2][FEW_TOKENS];
    float32x4_t factor[FEW_TOKENS];
    UNROLLED (g, 2)
        UNROLLED (i, SUMS(width))
            total[g][i] = vdupq_n_s32(0);
    for (size_t s = 0; s < SUBS; s++) {
        int8x16_t x[4][FEW_TOKENS];
        int16x8_t scales = vmovl_s8(scales_at(block, s, half));
        load_acts(x, acts + ACTS_Q + s * SUB_ACTS, QUADS, width);
        UNROLLED (g, 2) {
            uint8x16_t v[QUADS];
            decode_quads(v, block, s, 2 * half + g);
            add_products(total[g], v, g ? vmovl_high_s16(scales) : vmovl_s16(vget_low_s16(scales)), x, width);
        }
    }
    UNROLLED (g, 2) {
        group_factors(factor, field_of_group(block, 0, half, g), acts + ACTS_D, width);
        UNROLLED (i, SUMS(width))
            acc[g][i] = vfmaq_f32(acc[g][i], TO_FLOAT(total[g][i]), factor[i]);
    }
#if MINIMA
    UNROLLED (g, 2) {
        minima_products(total[g], block, 2 * half + g, acts, width);
        group_factors(factor, field_of_group(block, 1, half, g), acts + ACTS_D, width);
        UNROLLED (i, SUMS(width))
            acc[g][i] = vfmsq_f32(acc[g][i], vcvtq_f32_s32(total[g][i]), factor[i]);
    }
#endif
}

// Half a panel of 16 rows, or one of 8, times n <= width tokens.
FEW_INLINE void few_half(const struct q4_task *task, const uint8_t *panel, size_t row, size_t half, size_t token,
                         size_t n, size_t width) {
    const uint8_t *acts = few_acts(PACKING, task, token);
    float32x4_t acc[2][FEW_TOKENS];
    UNROLLED (g, 2)
        UNROLLED (i, SUMS(width))
            acc[g][i] = vdupq_n_f32(0.0f);
    for (size_t b = 0; b < task->k / Q4_SUPER; b++, panel += BLOCK_IN, acts += ACTS_BYTES)
        few_block(acc, panel, half, acts, width);
    UNROLLED (g, 2) {
        size_t r = row + 8 * half + 4 * g;
        if (r < task->n_rows)
            store_sums(task->y + token * task->y_stride + r, task->y_stride, task->n_rows - r, acc[g], n, width);
    }
}

FEW_INLINE void few_panel(const struct q4_task *task, const uint8_t *panel, size_t row, size_t token, size_t n,
                          size_t width) {
    for (size_t half = 0; half < PANEL_ROWS / 8; half++)
        few_half(task, panel, row, half, token, n, width);
}

size_t Q4_JOIN(FEW_NAME, scratch)(size_t k) { return few_scratch(PACKING, k); }

void FEW_NAME(const struct q4_task *task) {
    few_pack(PACKING, task);
    const uint8_t *panel = task->weights;
    for (size_t row = 0; row < task->n_rows; row += PANEL_ROWS, panel += task->k / Q4_SUPER * BLOCK_IN)
        for (size_t token = 0; token < task->n_tokens; token += FEW_TOKENS)
            EACH_WIDTH(few_panel, task, panel, row, token, q4_min_size(FEW_TOKENS, task->n_tokens - token));
}
