#include "k16.h"

#include "../types/super.h"

#include <string.h>

_Static_assert(K16_Q4_K_BYTES == K16_ROWS * (sizeof(q4_block_q4_k) + 4), "4 bytes a row more than GGUF's Q4_K");
_Static_assert(K16_Q5_K_BYTES == K16_ROWS * (sizeof(q4_block_q5_k) + 4), "… than Q5_K");
_Static_assert(K16_IQ4_XS_BYTES == K16_ROWS * (sizeof(q4_block_iq4_xs) + 2), "… two more than IQ4_XS");
_Static_assert(K16_Q3_K_BYTES == K16_ROWS * (sizeof(q4_block_q3_k) + 4), "… four more than Q3_K");
_Static_assert(K16_Q2_K_BYTES == K16_ROWS * sizeof(q4_block_q2_k), "as dense as GGUF's Q2_K");

// 32 columns' nibbles to their places: low[i] and high[i] share byte i of what GGUF calls Q4_0's order.
static void put_nibbles(uint8_t *weights, const uint8_t *low, unsigned low_shift, const uint8_t *high,
                        unsigned high_shift, size_t row) {
    for (size_t i = 0; i < 16; i++)
        weights[i / 4 * 64 + row * 4 + i % 4] =
            (uint8_t)((low[i] >> low_shift & 15) | (high[i] >> high_shift & 15) << 4);
}

static void put_minima(uint8_t *block, uint16_t dmin, const int8_t minima[K16_SUBS], size_t row) {
    memcpy(block + 2 * K16_ROWS + 2 * row, &dmin, 2);
    for (size_t s = 0; s < K16_SUBS; s++)
        block[K16_MINIMA + row / 4 * 32 + s / 4 * 16 + row % 4 * 4 + s % 4] = (uint8_t)minima[s];
}

static void pack_q4_k_block(uint8_t *out, const q4_block_q4_k *block, size_t row) {
    int8_t scales[K16_SUBS], minima[K16_SUBS];
    q4_unpack_scales(block->scales, scales, minima);
    memcpy(out + 2 * row, &block->d, 2);
    put_minima(out, block->dmin, minima, row);
    uint8_t *sub = out + K16_MINIMA + K16_MINIMA_BYTES;
    for (size_t s = 0; s < K16_SUBS; s++, sub += K16_Q4_K_SUB) {
        const uint8_t *qs = block->qs + s / 2 * 32;
        unsigned shift = s % 2 * 4;
        sub[row] = (uint8_t)scales[s];
        put_nibbles(sub + 16, qs, shift, qs + 16, shift, row);
    }
}

static void pack_iq4_xs_block(uint8_t *out, const q4_block_iq4_xs *block, size_t row) {
    memcpy(out + 2 * row, &block->d, 2);
    uint8_t *sub = out + 2 * K16_ROWS;
    for (size_t s = 0; s < K16_SUBS; s++, sub += K16_Q4_K_SUB) {
        sub[row] = (uint8_t)q4_iq4_xs_scale(block, s);
        put_nibbles(sub + 16, block->qs + 16 * s, 0, block->qs + 16 * s, 4, row);
    }
}

// The 4 rows' byte i of 5 vectors, from column i of each of the 8 quads.
static void pack_five(uint8_t *out, const uint8_t q[8]) {
    out[0] = (uint8_t)(q[0] | q[5] << 5);
    out[16] = (uint8_t)(q[1] | (q[7] >> 4) << 5 | (q[5] >> 3) << 6);
    out[32] = (uint8_t)(q[2] | q[6] << 5);
    out[48] = (uint8_t)(q[3] | (q[7] >> 3 & 1) << 5 | (q[6] >> 3) << 6);
    out[64] = (uint8_t)(q[4] | q[7] << 5);
}

static void pack_q5_k_block(uint8_t *out, const q4_block_q5_k *block, size_t row) {
    int8_t scales[K16_SUBS], minima[K16_SUBS];
    q4_unpack_scales(block->scales, scales, minima);
    memcpy(out + 2 * row, &block->d, 2);
    put_minima(out, block->dmin, minima, row);
    uint8_t *sub = out + K16_MINIMA + K16_MINIMA_BYTES;
    for (size_t s = 0; s < K16_SUBS; s++, sub += K16_Q5_K_SUB) {
        sub[row] = (uint8_t)scales[s];
        for (size_t i = 0; i < 4; i++) {
            uint8_t q[8];
            for (size_t quad = 0; quad < 8; quad++) {
                size_t l = 4 * quad + i;
                int low = block->qs[s / 2 * 32 + l] >> s % 2 * 4 & 15;
                q[quad] = (uint8_t)(low | (block->qh[l] >> s & 1) << 4);
            }
            pack_five(sub + 16 + row / 4 * 80 + row % 4 * 4 + i, q);
        }
    }
}

// Three bits each of the columns i of 8 quads
static void pack_three(uint8_t *out, const uint8_t q[8]) {
    out[0] = (uint8_t)(q[0] << 5 | q[3] << 2 | q[6] >> 1);
    out[16] = (uint8_t)(q[1] << 5 | q[4] << 2 | (q[7] & 1) << 1 | (q[6] & 1));
    out[32] = (uint8_t)(q[2] << 5 | q[5] << 2 | q[7] >> 1);
}

static void pack_q3_k_block(uint8_t *out, const q4_block_q3_k *block, size_t row) {
    memcpy(out + 2 * row, &block->d, 2);
    uint8_t *pair = out + 2 * K16_ROWS;
    for (size_t p = 0; p < Q4_SUPER / 32; p++, pair += K16_Q3_K_PAIR) {
        pair[row] = (uint8_t)q4_q3_k_scale(block, 2 * p);
        pair[16 + row] = (uint8_t)q4_q3_k_scale(block, 2 * p + 1);
        for (size_t i = 0; i < 4; i++) {
            uint8_t q[8];
            for (size_t quad = 0; quad < 8; quad++) {
                size_t l = 4 * quad + i;
                int low = block->qs[p / 4 * 32 + l] >> p % 4 * 2 & 3, third = block->hmask[l] >> p & 1;
                q[quad] = (uint8_t)(low | (third ^ 1) << 2); // - 4 as the sign bit
            }
            pack_three(pair + 32 + row / 4 * 48 + row % 4 * 4 + i, q);
        }
    }
}

static void pack_q2_k_block(uint8_t *out, const q4_block_q2_k *block, size_t row) {
    memcpy(out + 2 * row, &block->d, 2);
    memcpy(out + 2 * K16_ROWS + 2 * row, &block->dmin, 2);
    uint8_t *four = out + 4 * K16_ROWS;
    for (size_t u = 0; u < Q4_SUPER / 64; u++, four += K16_Q2_K_FOUR) {
        memcpy(four + row * 4, block->scales + 4 * u, 4);
        for (size_t c = 0; c < 16; c++) { // of each of the four sub-blocks
            unsigned fields = 0;
            for (size_t f = 0; f < 4; f++) {
                size_t column = 64 * u + 16 * f + c;
                unsigned q = block->qs[column / 128 * 32 + column % 32] >> column % 128 / 32 * 2 & 3;
                fields |= q << 2 * f;
            }
            four[64 + row / 4 * 64 + c / 4 * 16 + row % 4 * 4 + c % 4] = (uint8_t)fields;
        }
    }
}

#define PACK(TYPE, BYTES)                                                                                              \
    static void pack_##TYPE(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {                \
        for (size_t r = 0; r < n_rows; r++, src += row_bytes)                                                          \
            for (size_t b = 0; b < k / Q4_SUPER; b++)                                                                  \
                pack_##TYPE##_block((uint8_t *)dst + b * BYTES, (const q4_block_##TYPE *)src + b, r);                  \
    }

PACK(q4_k, K16_Q4_K_BYTES)
PACK(q5_k, K16_Q5_K_BYTES)
PACK(iq4_xs, K16_IQ4_XS_BYTES)
PACK(q3_k, K16_Q3_K_BYTES)
PACK(q2_k, K16_Q2_K_BYTES)

#define K16(NUMBER, BYTES, PACK)                                                                                       \
    {.name = "k16", .type = NUMBER, .rows = K16_ROWS, .block_columns = Q4_SUPER, .block_bytes = BYTES, .pack = PACK}

const struct q4_layout q4_k16_q4_k = K16(Q4_TYPE_Q4_K, K16_Q4_K_BYTES, pack_q4_k);
const struct q4_layout q4_k16_q5_k = K16(Q4_TYPE_Q5_K, K16_Q5_K_BYTES, pack_q5_k);
const struct q4_layout q4_k16_iq4_xs = K16(Q4_TYPE_IQ4_XS, K16_IQ4_XS_BYTES, pack_iq4_xs);
const struct q4_layout q4_k16_q3_k = K16(Q4_TYPE_Q3_K, K16_Q3_K_BYTES, pack_q3_k);
const struct q4_layout q4_k16_q2_k = K16(Q4_TYPE_Q2_K, K16_Q2_K_BYTES, pack_q2_k);
