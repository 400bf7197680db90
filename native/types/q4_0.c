// 4 bits a weight, one fp16 scale a block: w = d * (q - 8).
#include "search.h"

static bool q4_finite_q4_0(const void *row, size_t blocks) {
    const q4_block_q4_0 *b = row;
    bool ok = true;
    for (size_t i = 0; i < blocks; i++)
        ok &= q4_half_is_finite(b[i].d);
    return ok;
}

static void q4_dequantize_q4_0(float *y, const void *row, size_t n) {
    const q4_block_q4_0 *b = row;
    for (size_t i = 0; i < n; i += Q4_BLOCK, b++) {
        float d = q4_half_to_float(b->d);
        q4_dequantize_nibbles(y + i, b->qs, d, -8.0f * d); // exact: d has 11 bits, q - 8 four
    }
}

static float product(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_q4_0 *w = (const q4_block_q4_0 *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_BLOCK);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_BLOCK; b++, q += Q4_BLOCK) {
        int32_t sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += ((w[b].qs[i] & 15) - 8) * q[i] + ((w[b].qs[i] >> 4) - 8) * q[i + 16];
        acc = fmaf((float)sum, q4_half_to_float(w[b].d) * d[b], acc);
    }
    return acc;
}

static const struct q4_layout rows = Q4_ROWS_LAYOUT(Q4_TYPE_Q4_0, Q4_BLOCK, q4_block_q4_0);

static void q4_matmul_q4_0_portable(const struct q4_task *t) {
    q4_multiply_rows(t, q4_panel_bytes(&rows, t->k), product);
}

static const struct q4_kernel q4_kernel_q4_0 = {
    .name = "q4_0_portable", .layout = &rows, .max_tokens = SIZE_MAX, .run = q4_matmul_q4_0_portable};

// The value of largest magnitude becomes -8, so that all 16 levels are used on its side.
static bool q4_reference_q4_0(const float *x, void *out) {
    q4_block_q4_0 *block = out;
    float d = extreme(x, Q4_BLOCK) / -8.0f, inverse = inverse_or_zero(d);
    uint8_t q[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++)
        q[i] = to_nibble(x[i] * inverse + 8.5f);
    q4_pack_nibbles(q, block->qs);
    block->d = q4_float_to_half(d);
    return q4_half_is_finite(block->d);
}

static const struct levels levels = {.lo = -8.0f, .hi = 7.0f, .first = -9.0f, .step = 0.25f, .count = 13, .both = true};

static bool q4_search_q4_0(const float *x, const float *importance, void *out) {
    q4_block_q4_0 *block = out;
    float q[Q4_BLOCK];
    if (!search_symmetric(x, importance, &levels, -8.0f, &block->d, q))
        return false;
    uint8_t nibbles[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++)
        nibbles[i] = (uint8_t)((int)q[i] + 8);
    q4_pack_nibbles(nibbles, block->qs);
    return true;
}

const struct q4_type Q4_NAME(q4_type_q4_0) = {
    .number = Q4_TYPE_Q4_0,
    .name = "Q4_0",
    .columns = Q4_BLOCK,
    .bytes = sizeof(q4_block_q4_0),
    .acts = Q4_ACT_Q8,
    .finite = q4_finite_q4_0,
    .dequantize = q4_dequantize_q4_0,
    .kernel = &q4_kernel_q4_0,
    .search = q4_search_q4_0,
    .reference = q4_reference_q4_0,
};
