#include "q6b.h"

#include <string.h>

_Static_assert(Q6B_BYTES == Q6B_ROWS * sizeof(q4_block_q6_k), "q6b is as dense as GGUF's Q6_K");

// Column c of a super-block as a signed number -32 .. 31 (types/q6_k.c has the order of GGUF's bits).
static int weight_at(const q4_block_q6_k *block, size_t c) {
    size_t half = c / 128, quarter = c % 128 / 32, l = c % 32;
    int low = block->ql[half * 64 + (quarter & 1) * 32 + l] >> (quarter >> 1) * 4 & 15;
    int high = block->qh[half * 32 + l] >> quarter * 2 & 3;
    return (low | high << 4) - 32;
}

static void pack_sub_block(uint8_t *out, const q4_block_q6_k *block, size_t sub) {
    for (size_t i = 0; i < 4; i++) {
        unsigned fourth = (unsigned)weight_at(block, sub * 16 + 12 + i);
        for (size_t v = 0; v < 3; v++) {
            unsigned w = (unsigned)weight_at(block, sub * 16 + v * 4 + i);
            out[v * 16 + i] = (uint8_t)(w << 2 | (fourth >> 2 * v & 3));
        }
    }
}

static void pack_super_block(uint8_t *out, const q4_block_q6_k *block, size_t row) {
    memcpy(out + 2 * row, &block->d, 2);
    for (size_t s = 0; s < Q6B_SUB_BLOCKS; s++) {
        out[Q6B_SCALES + s * 8 + row] = (uint8_t)block->scales[s];
        pack_sub_block(out + Q6B_WEIGHTS + s * Q6B_SUB_BYTES + row / 4 * 48 + row % 4 * 4, block, s);
    }
}

static void pack_q6_k(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    for (size_t r = 0; r < n_rows; r++, src += row_bytes)
        for (size_t b = 0; b < k / Q4_SUPER; b++)
            pack_super_block((uint8_t *)dst + b * Q6B_BYTES, (const q4_block_q6_k *)src + b, r);
}

const struct q4_layout q4_q6b_q6_k = {.name = "q6b",
                                      .type = Q4_TYPE_Q6_K,
                                      .rows = Q6B_ROWS,
                                      .block_columns = Q4_SUPER,
                                      .block_bytes = Q6B_BYTES,
                                      .pack = pack_q6_k};
