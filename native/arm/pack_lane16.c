#include "lane16.h"

#include <string.h>

// A row's 4 columns of a quad
static inline uint8_t *four_at(uint8_t *weights, size_t row, size_t quad) { return weights + quad * 64 + row * 4; }

// One row's 16 bytes of nibbles (column i low, i + 16 high) to its places; `flip` 0x88... makes them signed.
static inline void scatter_nibbles(uint8_t *weights, const uint8_t *qs, size_t row, uint32_t flip) {
    for (size_t c = 0; c < 4; c++) {
        uint32_t four;
        memcpy(&four, qs + 4 * c, 4);
        four ^= flip;
        memcpy(four_at(weights, row, c), &four, 4);
    }
}

static void pack_q4_0(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    for (size_t r = 0; r < n_rows; r++, src += row_bytes) {
        const q4_block_q4_0 *block = (const q4_block_q4_0 *)src;
        uint8_t *out = dst;
        for (size_t b = 0; b < k / Q4_BLOCK; b++, block++, out += LANE16_Q4_0_BYTES) {
            memcpy(out + 2 * r, &block->d, 2);
            scatter_nibbles(out + 32, block->qs, r, 0x88888888u);
        }
    }
}

static void pack_q4_1(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    for (size_t r = 0; r < n_rows; r++, src += row_bytes) {
        const q4_block_q4_1 *block = (const q4_block_q4_1 *)src;
        uint8_t *out = dst;
        for (size_t b = 0; b < k / Q4_BLOCK; b++, block++, out += LANE16_Q4_1_BYTES) {
            memcpy(out + 2 * r, &block->d, 2);
            memcpy(out + 32 + 2 * r, &block->m, 2);
            scatter_nibbles(out + 64, block->qs, r, 0);
        }
    }
}

// One row's 32 signed weights to five quads that hold eight.
static inline void scatter_fives(uint8_t *weights, const uint8_t *qs, const uint8_t *fifth, size_t row) {
    for (size_t i = 0; i < 4; i++) {
        unsigned w[8];
        for (size_t c = 0; c < 8; c++)
            w[c] = ((qs[c % 4 * 4 + i] >> c / 4 * 4 & 15u) | (fifth[c / 2] >> (c % 2 * 4 + i) & 1u) << 4) ^ 16u;
        unsigned parts[5] = {w[5] & 7, (w[5] >> 3) | (w[7] >> 4) << 2, w[6] & 7, (w[6] >> 3) | (w[7] >> 3 & 1) << 2,
                             w[7] & 7};
        for (size_t c = 0; c < 5; c++)
            four_at(weights, row, c)[i] = (uint8_t)(w[c] << 3 | parts[c]);
    }
}

static void pack_q5_0(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    for (size_t r = 0; r < n_rows; r++, src += row_bytes) {
        const q4_block_q5_0 *block = (const q4_block_q5_0 *)src;
        uint8_t *out = dst;
        for (size_t b = 0; b < k / Q4_BLOCK; b++, block++, out += LANE16_Q5_0_BYTES) {
            memcpy(out + 2 * r, &block->d, 2);
            scatter_fives(out + 32, block->qs, block->qh, r);
        }
    }
}

static void pack_q5_1(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    for (size_t r = 0; r < n_rows; r++, src += row_bytes) {
        const q4_block_q5_1 *block = (const q4_block_q5_1 *)src;
        uint8_t *out = dst;
        for (size_t b = 0; b < k / Q4_BLOCK; b++, block++, out += LANE16_Q5_1_BYTES) {
            memcpy(out + 2 * r, &block->d, 2);
            memcpy(out + 32 + 2 * r, &block->m, 2);
            scatter_fives(out + 64, block->qs, block->qh, r);
        }
    }
}

static void pack_iq4_nl(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    for (size_t r = 0; r < n_rows; r++, src += row_bytes) {
        const q4_block_iq4_nl *block = (const q4_block_iq4_nl *)src;
        uint8_t *out = dst;
        for (size_t b = 0; b < k / Q4_BLOCK; b++, block++, out += LANE16_IQ4_NL_BYTES) {
            memcpy(out + 2 * r, &block->d, 2);
            scatter_nibbles(out + 32, block->qs, r, 0);
        }
    }
}

static void pack_q8_0(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    for (size_t r = 0; r < n_rows; r++, src += row_bytes) {
        const q4_block_q8_0 *block = (const q4_block_q8_0 *)src;
        uint8_t *out = dst;
        for (size_t b = 0; b < k / Q4_BLOCK; b++, block++, out += LANE16_Q8_0_BYTES) {
            memcpy(out + 2 * r, &block->d, 2);
            for (size_t c = 0; c < Q4_BLOCK / 4; c++)
                memcpy(four_at(out + 32, r, c), block->qs + 4 * c, 4);
        }
    }
}

#define LANE16(TYPE, BYTES, PACK)                                                                                      \
    {.name = "lane16", .type = TYPE, .rows = LANE16_ROWS, .block_columns = Q4_BLOCK, .block_bytes = BYTES, .pack = PACK}

const struct q4_layout q4_lane16_q4_0 = LANE16(Q4_TYPE_Q4_0, LANE16_Q4_0_BYTES, pack_q4_0);
const struct q4_layout q4_lane16_q4_1 = LANE16(Q4_TYPE_Q4_1, LANE16_Q4_1_BYTES, pack_q4_1);
const struct q4_layout q4_lane16_q5_0 = LANE16(Q4_TYPE_Q5_0, LANE16_Q5_0_BYTES, pack_q5_0);
const struct q4_layout q4_lane16_q5_1 = LANE16(Q4_TYPE_Q5_1, LANE16_Q5_1_BYTES, pack_q5_1);
const struct q4_layout q4_lane16_iq4_nl = LANE16(Q4_TYPE_IQ4_NL, LANE16_IQ4_NL_BYTES, pack_iq4_nl);
const struct q4_layout q4_lane16_q8_0 = LANE16(Q4_TYPE_Q8_0, LANE16_Q8_0_BYTES, pack_q8_0);
