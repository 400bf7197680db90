// 4 bits a weight, an fp16 scale and an fp16 minimum a block: w = d * q + m.
#include "search.h"

static bool q4_finite_q4_1(const void *row, size_t blocks) {
    const q4_block_q4_1 *b = row;
    bool ok = true;
    for (size_t i = 0; i < blocks; i++)
        ok &= q4_half_is_finite(b[i].d) && q4_half_is_finite(b[i].m);
    return ok;
}

static void q4_dequantize_q4_1(float *y, const void *row, size_t n) {
    const q4_block_q4_1 *b = row;
    for (size_t i = 0; i < n; i += Q4_BLOCK, b++)
        q4_dequantize_nibbles(y + i, b->qs, q4_half_to_float(b->d), q4_half_to_float(b->m));
}

static float product(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_q4_1 *w = (const q4_block_q4_1 *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_BLOCK);
    const int32_t *total = acts->sum + token * (acts->k / Q4_BLOCK);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_BLOCK; b++, q += Q4_BLOCK) {
        int32_t sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += (w[b].qs[i] & 15) * q[i] + (w[b].qs[i] >> 4) * q[i + 16];
        acc = fmaf((float)sum, q4_half_to_float(w[b].d) * d[b], acc);
        acc = fmaf((float)total[b], q4_half_to_float(w[b].m) * d[b], acc);
    }
    return acc;
}

static const struct q4_layout rows = Q4_ROWS_LAYOUT(Q4_TYPE_Q4_1, Q4_BLOCK, q4_block_q4_1);

static void q4_matmul_q4_1_portable(const struct q4_task *t) {
    q4_multiply_rows(t, q4_panel_bytes(&rows, t->k), product);
}

static const struct q4_kernel q4_kernel_q4_1 = {
    .name = "q4_1_portable", .layout = &rows, .max_tokens = SIZE_MAX, .run = q4_matmul_q4_1_portable};

// The smallest value becomes 0, the largest 15.
static bool q4_reference_q4_1(const float *x, void *out) {
    q4_block_q4_1 *block = out;
    float min = x[0], max = x[0];
    for (int i = 1; i < Q4_BLOCK; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    float d = (max - min) / 15.0f, inverse = inverse_or_zero(d);
    uint8_t q[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++)
        q[i] = to_nibble((x[i] - min) * inverse + 0.5f);
    q4_pack_nibbles(q, block->qs);
    block->d = q4_float_to_half(d);
    block->m = q4_float_to_half(min);
    return q4_half_is_finite(block->d) && q4_half_is_finite(block->m);
}

static bool q4_search_q4_1(const float *x, const float *importance, void *out) {
    q4_block_q4_1 *block = out;
    float q[Q4_BLOCK];
    if (!search_line(x, importance, 15.0f, &block->d, &block->m, q))
        return false;
    uint8_t nibbles[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++)
        nibbles[i] = (uint8_t)q[i];
    q4_pack_nibbles(nibbles, block->qs);
    return true;
}

const struct q4_type Q4_NAME(q4_type_q4_1) = {
    .number = Q4_TYPE_Q4_1,
    .name = "Q4_1",
    .columns = Q4_BLOCK,
    .bytes = sizeof(q4_block_q4_1),
    .acts = Q4_ACT_Q8,
    .finite = q4_finite_q4_1,
    .dequantize = q4_dequantize_q4_1,
    .kernel = &q4_kernel_q4_1,
    .search = q4_search_q4_1,
    .reference = q4_reference_q4_1,
};
