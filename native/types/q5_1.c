// 5 bits a weight, an fp16 scale and an fp16 minimum a block: w = d * q + m.
#include "search.h"

static bool q4_finite_q5_1(const void *row, size_t blocks) {
    const q4_block_q5_1 *b = row;
    bool ok = true;
    for (size_t i = 0; i < blocks; i++)
        ok &= q4_half_is_finite(b[i].d) && q4_half_is_finite(b[i].m);
    return ok;
}

static void q4_dequantize_q5_1(float *y, const void *row, size_t n) {
    const q4_block_q5_1 *b = row;
    for (size_t i = 0; i < n; i += Q4_BLOCK, b++) {
        int8_t q[Q4_BLOCK];
        q4_unpack_fives(b->qs, b->qh, q);
        for (size_t j = 0; j < Q4_BLOCK; j++)
            y[i + j] = fmaf((float)q[j], q4_half_to_float(b->d), q4_half_to_float(b->m));
    }
}

static float product(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_q5_1 *w = (const q4_block_q5_1 *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_BLOCK);
    const int32_t *total = acts->sum + token * (acts->k / Q4_BLOCK);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_BLOCK; b++, q += Q4_BLOCK) {
        int8_t wq[Q4_BLOCK];
        int32_t sum = 0;
        q4_unpack_fives(w[b].qs, w[b].qh, wq);
        for (size_t i = 0; i < Q4_BLOCK; i++)
            sum += wq[i] * q[i];
        acc = fmaf((float)sum, q4_half_to_float(w[b].d) * d[b], acc);
        acc = fmaf((float)total[b], q4_half_to_float(w[b].m) * d[b], acc);
    }
    return acc;
}

static const struct q4_layout rows = Q4_ROWS_LAYOUT(Q4_TYPE_Q5_1, Q4_BLOCK, q4_block_q5_1);

static void q4_matmul_q5_1_portable(const struct q4_task *t) {
    q4_multiply_rows(t, q4_panel_bytes(&rows, t->k), product);
}

static const struct q4_kernel q4_kernel_q5_1 = {
    .name = "q5_1_portable", .layout = &rows, .max_tokens = SIZE_MAX, .run = q4_matmul_q5_1_portable};

// The smallest value becomes 0, the largest 31.
static bool q4_reference_q5_1(const float *x, void *out) {
    q4_block_q5_1 *block = out;
    float min = x[0], max = x[0];
    for (int i = 1; i < Q4_BLOCK; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    float d = (max - min) / 31.0f, inverse = inverse_or_zero(d);
    uint8_t q[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++) {
        float v = (x[i] - min) * inverse + 0.5f;
        q[i] = v >= 31.0f ? 31 : v > 0.0f ? (uint8_t)v : 0;
    }
    q4_pack_fives(q, block->qs, block->qh);
    block->d = q4_float_to_half(d);
    block->m = q4_float_to_half(min);
    return q4_half_is_finite(block->d) && q4_half_is_finite(block->m);
}

static bool q4_search_q5_1(const float *x, const float *importance, void *out) {
    q4_block_q5_1 *block = out;
    float levels[Q4_BLOCK];
    if (!search_line(x, importance, 31.0f, &block->d, &block->m, levels))
        return false;
    uint8_t q[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++)
        q[i] = (uint8_t)levels[i];
    q4_pack_fives(q, block->qs, block->qh);
    return true;
}

const struct q4_type Q4_NAME(q4_type_q5_1) = {
    .number = Q4_TYPE_Q5_1,
    .name = "Q5_1",
    .columns = Q4_BLOCK,
    .bytes = sizeof(q4_block_q5_1),
    .acts = Q4_ACT_Q8,
    .finite = q4_finite_q5_1,
    .dequantize = q4_dequantize_q5_1,
    .kernel = &q4_kernel_q5_1,
    .search = q4_search_q5_1,
    .reference = q4_reference_q5_1,
};
