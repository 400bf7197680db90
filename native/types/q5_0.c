// 5 bits a weight, one fp16 scale a block: w = d * (q - 16).
#include "search.h"

static bool q4_finite_q5_0(const void *row, size_t blocks) {
    const q4_block_q5_0 *b = row;
    bool ok = true;
    for (size_t i = 0; i < blocks; i++)
        ok &= q4_half_is_finite(b[i].d);
    return ok;
}

static void unpack(const q4_block_q5_0 *block, int8_t q[Q4_BLOCK]) {
    q4_unpack_fives(block->qs, block->qh, q);
    for (size_t i = 0; i < Q4_BLOCK; i++)
        q[i] = (int8_t)(q[i] - 16);
}

static void q4_dequantize_q5_0(float *y, const void *row, size_t n) {
    const q4_block_q5_0 *b = row;
    for (size_t i = 0; i < n; i += Q4_BLOCK, b++) {
        int8_t q[Q4_BLOCK];
        unpack(b, q);
        for (size_t j = 0; j < Q4_BLOCK; j++)
            y[i + j] = q4_half_to_float(b->d) * (float)q[j];
    }
}

static float product(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_q5_0 *w = (const q4_block_q5_0 *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_BLOCK);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_BLOCK; b++, q += Q4_BLOCK) {
        int8_t wq[Q4_BLOCK];
        int32_t sum = 0;
        unpack(&w[b], wq);
        for (size_t i = 0; i < Q4_BLOCK; i++)
            sum += wq[i] * q[i];
        acc = fmaf((float)sum, q4_half_to_float(w[b].d) * d[b], acc);
    }
    return acc;
}

static const struct q4_layout rows = Q4_ROWS_LAYOUT(Q4_TYPE_Q5_0, Q4_BLOCK, q4_block_q5_0);

static void q4_matmul_q5_0_portable(const struct q4_task *t) {
    q4_multiply_rows(t, q4_panel_bytes(&rows, t->k), product);
}

static const struct q4_kernel q4_kernel_q5_0 = {
    .name = "q5_0_portable", .layout = &rows, .max_tokens = SIZE_MAX, .run = q4_matmul_q5_0_portable};

// The value of largest magnitude becomes -16, as Q4_0's becomes -8.
static bool q4_reference_q5_0(const float *x, void *out) {
    q4_block_q5_0 *block = out;
    float d = extreme(x, Q4_BLOCK) / -16.0f, inverse = inverse_or_zero(d);
    uint8_t q[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++) {
        float v = x[i] * inverse + 16.5f;
        q[i] = v >= 31.0f ? 31 : v > 0.0f ? (uint8_t)v : 0;
    }
    q4_pack_fives(q, block->qs, block->qh);
    block->d = q4_float_to_half(d);
    return q4_half_is_finite(block->d);
}

static const struct levels levels = {
    .lo = -16.0f, .hi = 15.0f, .first = -17.0f, .step = 0.25f, .count = 13, .both = true};

static bool q4_search_q5_0(const float *x, const float *importance, void *out) {
    q4_block_q5_0 *block = out;
    float levels_of[Q4_BLOCK];
    if (!search_symmetric(x, importance, &levels, -16.0f, &block->d, levels_of))
        return false;
    uint8_t q[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++)
        q[i] = (uint8_t)((int)levels_of[i] + 16);
    q4_pack_fives(q, block->qs, block->qh);
    return true;
}

const struct q4_type Q4_NAME(q4_type_q5_0) = {
    .number = Q4_TYPE_Q5_0,
    .name = "Q5_0",
    .columns = Q4_BLOCK,
    .bytes = sizeof(q4_block_q5_0),
    .acts = Q4_ACT_Q8,
    .finite = q4_finite_q5_0,
    .dequantize = q4_dequantize_q5_0,
    .kernel = &q4_kernel_q5_0,
    .search = q4_search_q5_0,
    .reference = q4_reference_q5_0,
};
