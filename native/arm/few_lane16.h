// A few tokens times weights in the layout lane16 (Q4_0, Q5_0 and Q8_0: few_blocks.h). Included once a kernel with
// FEW_NAME, DECODE_TYPE (decode_lane16.h) and, for SMMLA, FEW_I8MM.
#include "few.h"

#include "decode_lane16.h"

#ifdef FEW_I8MM
#define PACKING (HAS_MIN ? &q4_pairs8_sum : &q4_pairs8)
#define ACTS_BYTES (HAS_MIN ? PAIRS8_SUM_BYTES : PAIRS8_BYTES)
#define ACTS_D 256
#define ACTS_SUM 320
#else
#define PACKING (&q4_quad4)
#define ACTS_BYTES QUAD4_BYTES
#define ACTS_D 128
#define ACTS_SUM 144
#endif
// Groups of 4 rows that go through the panel together: their sums and accumulators fit the registers.
#define FEW_GROUPS(WIDTH) ((WIDTH) <= 2 ? 4 : 2)

// A group's block, added to its accumulators.
FEW_INLINE void few_group(float32x4_t acc[], const uint8_t *block, size_t group, const uint8_t *acts,
                          const int8x16_t x[][FEW_TOKENS], size_t width) {
    const uint32x4_t magic = vdupq_n_u32(MAGIC);
    uint8x16_t v[8];
    int32x4_t sum[FEW_TOKENS];
    float32x4_t factor[FEW_TOKENS];
    decode_quads(v, block, group);
    UNROLLED (i, SUMS(width))
        sum[i] = vreinterpretq_s32_u32(magic);
    group_products(sum, v, x, 8, width);
    group_factors(factor, group_scales(block, group), acts + ACTS_D, width);
    UNROLLED (i, SUMS(width)) {
        float32x4_t product = vsubq_f32(vreinterpretq_f32_s32(sum[i]), vreinterpretq_f32_u32(magic));
        acc[i] = vfmaq_f32(acc[i], product, factor[i]);
    }
#if HAS_MIN
    float32x4_t sums[FEW_TOKENS];
    group_factors(factor, group_scales(block + 32, group), acts + ACTS_D, width);
    group_factors(sums, vdupq_n_f32(1.0f), acts + ACTS_SUM, width);
    UNROLLED (i, SUMS(width))
        acc[i] = vfmaq_f32(acc[i], sums[i], factor[i]);
#endif
}

// Some groups of a panel, from `group` on, times n <= width tokens.
FEW_INLINE void few_groups(const struct q4_task *task, const uint8_t *panel, size_t row, size_t group, size_t token,
                           size_t n, size_t width) {
    const uint8_t *acts = few_acts(PACKING, task, token);
    size_t groups = FEW_GROUPS(width);
    float32x4_t acc[8]; // [group][SUMS]
    UNROLLED (i, groups * SUMS(width))
        acc[i] = vdupq_n_f32(0.0f);
    for (size_t b = 0; b < task->k / Q4_BLOCK; b++, panel += BLOCK_BYTES, acts += ACTS_BYTES) {
        int8x16_t x[4][FEW_TOKENS];
        load_acts(x, acts, 8, width);
        UNROLLED (g, groups)
            few_group(acc + g * SUMS(width), panel, group + g, acts, x, width);
    }
    UNROLLED (g, groups) {
        size_t r = row + 4 * (group + g);
        if (r < task->n_rows)
            store_sums(task->y + token * task->y_stride + r, task->y_stride, task->n_rows - r, acc + g * SUMS(width), n,
                       width);
    }
}

FEW_INLINE void few_panel(const struct q4_task *task, const uint8_t *panel, size_t row, size_t token, size_t n,
                          size_t width) {
    for (size_t group = 0; group < 4; group += FEW_GROUPS(width))
        few_groups(task, panel, row, group, token, n, width);
}

size_t Q4_JOIN(FEW_NAME, scratch)(size_t k) { return few_scratch(PACKING, k); }

void FEW_NAME(const struct q4_task *task) {
    few_pack(PACKING, task);
    const uint8_t *panel = task->weights;
    for (size_t row = 0; row < task->n_rows; row += LANE16_ROWS, panel += task->k / Q4_BLOCK * BLOCK_BYTES)
        for (size_t token = 0; token < task->n_tokens; token += FEW_TOKENS)
            EACH_WIDTH(few_panel, task, panel, row, token, q4_min_size(FEW_TOKENS, task->n_tokens - token));
}
