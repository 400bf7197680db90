// 8 bits a weight, one fp16 scale a block: w = d * q.
#include "search.h"

static bool q4_finite_q8_0(const void *row, size_t blocks) {
    const q4_block_q8_0 *b = row;
    bool ok = true;
    for (size_t i = 0; i < blocks; i++)
        ok &= q4_half_is_finite(b[i].d);
    return ok;
}

static void q4_dequantize_q8_0(float *y, const void *row, size_t n) {
    const q4_block_q8_0 *b = row;
    for (size_t i = 0; i < n; i += Q4_BLOCK, b++)
        for (size_t j = 0; j < Q4_BLOCK; j++)
            y[i + j] = q4_half_to_float(b->d) * (float)b->qs[j];
}

static float product(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_q8_0 *w = (const q4_block_q8_0 *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_BLOCK);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_BLOCK; b++, q += Q4_BLOCK) {
        int32_t sum = 0;
        for (size_t i = 0; i < Q4_BLOCK; i++)
            sum += w[b].qs[i] * q[i];
        acc = fmaf((float)sum, q4_half_to_float(w[b].d) * d[b], acc);
    }
    return acc;
}

static const struct q4_layout rows = Q4_ROWS_LAYOUT(Q4_TYPE_Q8_0, Q4_BLOCK, q4_block_q8_0);

static void q4_matmul_q8_0_portable(const struct q4_task *t) {
    q4_multiply_rows(t, q4_panel_bytes(&rows, t->k), product);
}

static const struct q4_kernel q4_kernel_q8_0 = {
    .name = "q8_0_portable", .layout = &rows, .max_tokens = SIZE_MAX, .run = q4_matmul_q8_0_portable};

// To the nearest integer, halves away from zero; |v| must be below 2^31.
static int32_t round_away(float v) {
    float a = v < 0.0f ? -v : v;
    int32_t whole = (int32_t)a;
    whole += 2.0f * (a - (float)whole) >= 1.0f;
    return v < 0.0f ? -whole : whole;
}

static bool q4_reference_q8_0(const float *x, void *out) {
    q4_block_q8_0 *block = out;
    float amax = extreme(x, Q4_BLOCK);
    float d = (amax < 0.0f ? -amax : amax) / 127.0f, inverse = inverse_or_zero(d);
    for (int i = 0; i < Q4_BLOCK; i++) {
        int32_t q = round_away(x[i] * inverse); // at most 127 and a few ulp
        block->qs[i] = (int8_t)q;
    }
    block->d = q4_float_to_half(d);
    return q4_half_is_finite(block->d);
}

static const struct levels levels = {.lo = -127.0f, .hi = 127.0f, .first = 122.0f, .step = 0.5f, .count = 12};

static bool q4_search_q8_0(const float *x, const float *importance, void *out) {
    q4_block_q8_0 *block = out;
    float q[Q4_BLOCK];
    if (!search_symmetric(x, importance, &levels, 127.0f, &block->d, q))
        return false;
    for (int i = 0; i < Q4_BLOCK; i++)
        block->qs[i] = (int8_t)q[i];
    return true;
}

const struct q4_type Q4_NAME(q4_type_q8_0) = {
    .number = Q4_TYPE_Q8_0,
    .name = "Q8_0",
    .columns = Q4_BLOCK,
    .bytes = sizeof(q4_block_q8_0),
    .acts = Q4_ACT_Q8,
    .finite = q4_finite_q8_0,
    .dequantize = q4_dequantize_q8_0,
    .kernel = &q4_kernel_q8_0,
    .search = q4_search_q8_0,
    .reference = q4_reference_q8_0,
};
