// Rows of GGUF tensors to fp32: the embedding look-up.
#include "ops.h"
#include "q4math.h"

static void row_q4(float *y, const uint8_t *qs, float d, float offset) {
    for (size_t i = 0; i < 16; i++) {
        y[i] = fmaf((float)(qs[i] & 15), d, offset);
        y[i + 16] = fmaf((float)(qs[i] >> 4), d, offset);
    }
}

static void row_q6_k(float *y, const q4_block_q6_k *block) {
    float d = q4_half_to_float(block->d);
    for (size_t i = 0; i < Q4_SUPER; i++) {
        size_t half = i / 128, quarter = i % 128 / 32, l = i % 32;
        unsigned low = block->ql[half * 64 + (quarter & 1) * 32 + l] >> (quarter >> 1) * 4 & 15;
        unsigned high = block->qh[half * 32 + l] >> quarter * 2 & 3;
        float scale = d * (float)block->scales[i / 16];
        y[i] = scale * (float)((int)(low | high << 4) - 32);
    }
}

bool Q4_NAME(q4_all_finite)(const float *x, size_t n);

bool Q4_NAME(q4_dequantize_row)(float *y, const void *row, int type, size_t n) {
    if (type == Q4_TYPE_F32) {
        memcpy(y, row, n * sizeof *y);
    } else if (type == Q4_TYPE_F16 || type == Q4_TYPE_BF16) {
        const uint16_t *w = row;
        for (size_t i = 0; i < n; i++)
            y[i] = type == Q4_TYPE_F16 ? q4_half_to_float(w[i]) : q4_bits_float((uint32_t)w[i] << 16);
    } else if (type == Q4_TYPE_Q4_0) {
        const q4_block_q4_0 *b = row;
        for (size_t i = 0; i < n; i += Q4_BLOCK, b++) {
            float d = q4_half_to_float(b->d);
            row_q4(y + i, b->qs, d, -8.0f * d); // exact: d has 11 bits, q - 8 four
        }
    } else if (type == Q4_TYPE_Q4_1) {
        const q4_block_q4_1 *b = row;
        for (size_t i = 0; i < n; i += Q4_BLOCK, b++)
            row_q4(y + i, b->qs, q4_half_to_float(b->d), q4_half_to_float(b->m));
    } else if (type == Q4_TYPE_Q8_0) {
        const q4_block_q8_0 *b = row;
        for (size_t i = 0; i < n; i += Q4_BLOCK, b++)
            for (size_t j = 0; j < Q4_BLOCK; j++)
                y[i + j] = q4_half_to_float(b->d) * (float)b->qs[j];
    } else if (type == Q4_TYPE_Q6_K) {
        const q4_block_q6_k *b = row;
        for (size_t i = 0; i < n; i += Q4_SUPER, b++)
            row_q6_k(y + i, b);
    } else {
        return false;
    }
    return Q4_NAME(q4_all_finite)(y, n);
}
