// 4 bits a weight that stand for values of a table, one fp16 scale a block: w = d * value[q].
#include "search.h"

static bool q4_finite_iq4_nl(const void *row, size_t blocks) {
    const q4_block_iq4_nl *b = row;
    bool ok = true;
    for (size_t i = 0; i < blocks; i++)
        ok &= q4_half_is_finite(b[i].d);
    return ok;
}

static void q4_dequantize_iq4_nl(float *y, const void *row, size_t n) {
    const q4_block_iq4_nl *b = row;
    for (size_t i = 0; i < n; i += Q4_BLOCK, b++)
        for (size_t j = 0; j < Q4_BLOCK / 2; j++) {
            y[i + j] = q4_half_to_float(b->d) * (float)q4_iq4_values[b->qs[j] & 15];
            y[i + j + Q4_BLOCK / 2] = q4_half_to_float(b->d) * (float)q4_iq4_values[b->qs[j] >> 4];
        }
}

static float product(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_iq4_nl *w = (const q4_block_iq4_nl *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_BLOCK);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_BLOCK; b++, q += Q4_BLOCK) {
        int32_t sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += q4_iq4_values[w[b].qs[i] & 15] * q[i] + q4_iq4_values[w[b].qs[i] >> 4] * q[i + 16];
        acc = fmaf((float)sum, q4_half_to_float(w[b].d) * d[b], acc);
    }
    return acc;
}

static const struct q4_layout rows = Q4_ROWS_LAYOUT(Q4_TYPE_IQ4_NL, Q4_BLOCK, q4_block_iq4_nl);

static void q4_matmul_iq4_nl_portable(const struct q4_task *t) {
    q4_multiply_rows(t, q4_panel_bytes(&rows, t->k), product);
}

static const struct q4_kernel q4_kernel_iq4_nl = {
    .name = "iq4_nl_portable", .layout = &rows, .max_tokens = SIZE_MAX, .run = q4_matmul_iq4_nl_portable};

static const struct levels levels = Q4_IQ4_LEVELS;

static bool q4_search_iq4_nl(const float *x, const float *importance, void *out) {
    q4_block_iq4_nl *block = out;
    float values[Q4_BLOCK];
    if (!search_symmetric(x, importance, &levels, -127.0f, &block->d, values))
        return false;
    uint8_t q[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++)
        q[i] = q4_iq4_index(values[i]);
    q4_pack_nibbles(q, block->qs);
    return true;
}

const struct q4_type Q4_NAME(q4_type_iq4_nl) = {
    .number = Q4_TYPE_IQ4_NL,
    .name = "IQ4_NL",
    .columns = Q4_BLOCK,
    .bytes = sizeof(q4_block_iq4_nl),
    .acts = Q4_ACT_Q8,
    .finite = q4_finite_iq4_nl,
    .dequantize = q4_dequantize_iq4_nl,
    .kernel = &q4_kernel_iq4_nl,
    .search = q4_search_iq4_nl,
};
