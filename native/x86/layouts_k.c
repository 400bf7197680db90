// Packing of weights in super-blocks of 256 columns, once at load. See layouts.h.
#include "pack.h"

// A row's byte b of several that all rows have
static void store_bytes(uint8_t (*to)[K_ROWS], size_t row, const uint8_t *bytes, size_t n) {
    for (size_t b = 0; b < n; b++)
        to[b][row] = bytes[b];
}

// 16 bits, or less, of a GGUF block that has them in runs: 32 bytes hold the lowest `width` bits of 32 columns, then
// the next of the 32 columns behind them, and so on. Four columns from `column` on, one a byte.
static uint32_t run_bits(const uint8_t *bytes, size_t width, size_t column) {
    size_t runs = 8 / width;
    uint32_t mask = ((1u << width) - 1) * 0x01010101u;
    return load4(bytes + column / (32 * runs) * 32 + column % 32) >> column / 32 % runs * width & mask;
}

// Two column groups in the nibbles of one.
static void pack_nibbles(uint8_t (*q)[64], size_t row, uint32_t low, uint32_t high) {
    store_group(q, 0, row, low | high << 4);
}

static void pack_block_q2_k(panel_q2_k *p, size_t row, const q4_block_q2_k *block) {
    p->d[row] = block->d;
    p->dmin[row] = block->dmin;
    store_bytes(p->scales, row, block->scales, 16);
    for (size_t i = 0; i < 16; i++) {
        uint32_t groups = 0;
        for (size_t g = 0; g < 4; g++)
            groups |= run_bits(block->qs, 2, 16 * i + 4 * g) << 2 * g;
        store_group(p->q[i / 2], i % 2, row, groups);
    }
}

static void pack_block_q3_k(panel_q3_k *p, size_t row, const q4_block_q3_k *block) {
    p->d[row] = block->d;
    store_bytes(p->scales, row, block->scales, 12);
    for (size_t part = 0; part < 8; part++) {
        uint32_t w[8], low = 0x03030303u, third = 0x04040404u;
        for (size_t g = 0; g < 8; g++) {
            size_t column = 32 * part + 4 * g;
            w[g] = run_bits(block->qs, 2, column) | run_bits(block->hmask, 1, column) << 2;
        }
        uint32_t parts[3] = {w[6] & low, (w[6] & third) >> 2 | (w[7] & third) >> 1, w[7] & low};
        for (size_t c = 0; c < 3; c++)
            store_group(p->q[part], c, row, w[2 * c] | w[2 * c + 1] << 3 | parts[c] << 6);
    }
}

static void pack_block_q4_k(panel_q4_k *p, size_t row, const q4_block_q4_k *block) {
    p->d[row] = block->d;
    p->dmin[row] = block->dmin;
    store_bytes(p->scales, row, block->scales, 12);
    for (size_t s = 0; s < 8; s++)
        for (size_t c = 0; c < 4; c++)
            pack_nibbles(p->q[s] + c, row, run_bits(block->qs, 4, 32 * s + 4 * c),
                         run_bits(block->qs, 4, 32 * s + 16 + 4 * c));
}

static void pack_block_q5_k(panel_q5_k *p, size_t row, const q4_block_q5_k *block) {
    p->d[row] = block->d;
    p->dmin[row] = block->dmin;
    store_bytes(p->scales, row, block->scales, 12);
    for (size_t s = 0; s < 8; s++) {
        uint32_t w[8];
        for (size_t g = 0; g < 8; g++) {
            size_t column = 32 * s + 4 * g;
            w[g] = run_bits(block->qs, 4, column) | run_bits(block->qh, 1, column) << 4;
        }
        store_fives(p->q[s], row, w);
    }
}

// The 16 columns of sub-block s as w + 32, four to a word (the format is described in types/q6_k.c).
static void unpack_q6_k(uint32_t w[4], const q4_block_q6_k *block, size_t s) {
    size_t half = s / 8, quarter = s % 8 / 2, l = s % 2 * 16;
    const uint8_t *low = block->ql + half * 64 + (quarter & 1) * 32 + l, *high = block->qh + half * 32 + l;
    for (size_t i = 0; i < 4; i++)
        w[i] = (load4(low + 4 * i) >> (quarter >> 1) * 4 & 0x0f0f0f0fu) |
               (load4(high + 4 * i) >> quarter * 2 & 0x03030303u) << 4;
}

static void pack_block_q6_k(panel_q6_k *p, size_t row, const q4_block_q6_k *block) {
    p->d[row] = block->d;
    for (size_t s = 0; s < 16; s++) {
        uint32_t w[4];
        unpack_q6_k(w, block, s);
        p->scales[s][row] = block->scales[s];
        for (size_t plane = 0; plane < 3; plane++)
            store_group(p->q[s / 2][s % 2], plane, row, w[plane] | (w[3] >> plane * 2 & 0x03030303u) << 6);
    }
}

static void pack_block_iq4_xs(panel_iq4_xs *p, size_t row, const q4_block_iq4_xs *block) {
    unsigned scale[8];
    for (size_t s = 0; s < 8; s++)
        scale[s] = (block->scales_l[s / 2] >> s % 2 * 4 & 15u) | (block->scales_h >> 2 * s & 3u) << 4;
    p->d[row] = block->d;
    for (size_t s = 0; s < 4; s++)
        p->scales[s][row] = (uint8_t)(scale[s] | scale[4 + s] >> 4 << 6);
    for (size_t s = 0; s < 2; s++)
        p->scales[4 + s][row] = (uint8_t)((scale[4 + s] & 15) | (scale[6 + s] & 15) << 4);
    for (size_t s = 0; s < 8; s++)
        for (size_t c = 0; c < 4; c++)
            store_group(p->q[s], c, row, load4(block->qs + 16 * s + 4 * c));
}

PACK(q2_k, Q4_SUPER)
PACK(q3_k, Q4_SUPER)
PACK(q4_k, Q4_SUPER)
PACK(q5_k, Q4_SUPER)
PACK(q6_k, Q4_SUPER)
PACK(iq4_xs, Q4_SUPER)

LAYOUT(q2_k, Q4_TYPE_Q2_K, 16, Q4_SUPER);
LAYOUT(q3_k, Q4_TYPE_Q3_K, 16, Q4_SUPER);
LAYOUT(q4_k, Q4_TYPE_Q4_K, 16, Q4_SUPER);
LAYOUT(q5_k, Q4_TYPE_Q5_K, 16, Q4_SUPER);
LAYOUT(q6_k, Q4_TYPE_Q6_K, 16, Q4_SUPER);
LAYOUT(iq4_xs, Q4_TYPE_IQ4_XS, 16, Q4_SUPER);
