// 5 bits a weight, one fp16 scale a block: w = d * (q - 16).
#include "block.h"

static bool q4_finite_q5_0(const void *row, size_t blocks) {
    const q4_block_q5_0 *b = row;
    bool ok = true;
    for (size_t i = 0; i < blocks; i++)
        ok &= q4_half_is_finite(b[i].d);
    return ok;
}

static void unpack(const q4_block_q5_0 *block, int8_t q[Q4_BLOCK]) {
    uint32_t fifth; // bit i: of column i
    memcpy(&fifth, block->qh, sizeof fifth);
    for (size_t i = 0; i < Q4_BLOCK / 2; i++) {
        q[i] = (int8_t)((int)(block->qs[i] & 15) + (int)(fifth >> i & 1) * 16 - 16);
        q[i + 16] = (int8_t)((int)(block->qs[i] >> 4) + (int)(fifth >> (i + 16) & 1) * 16 - 16);
    }
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

const struct q4_type Q4_NAME(q4_type_q5_0) = {
    .number = Q4_TYPE_Q5_0,
    .name = "Q5_0",
    .columns = Q4_BLOCK,
    .bytes = sizeof(q4_block_q5_0),
    .acts = Q4_ACT_Q8,
    .finite = q4_finite_q5_0,
    .dequantize = q4_dequantize_q5_0,
    .kernel = &q4_kernel_q5_0,
};
