// Packing of weights, once at load. See layouts.h.
#include "layouts.h"

#include <string.h>

static uint32_t load4(const uint8_t *p) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static void store_group(uint8_t (*half)[64], size_t group, size_t row, uint32_t bytes) {
    memcpy(half[group] + row % 16 * 4, &bytes, sizeof bytes);
}

static void pack_block_q4_0(panel_q4_0 *p, size_t row, const q4_block_q4_0 *block) {
    p->d[row] = block->d;
    for (size_t c = 0; c < 4; c++)
        store_group(p->q[row / 16], c, row, load4(block->qs + 4 * c));
}

static void pack_block_q4_1(panel_q4_1 *p, size_t row, const q4_block_q4_1 *block) {
    p->d[row] = block->d;
    p->m[row] = block->m;
    for (size_t c = 0; c < 4; c++)
        store_group(p->q[row / 16], c, row, load4(block->qs + 4 * c));
}

// A row's 32 nibbles and fifth bits to five planes (layouts.h).
static void pack_fives(uint8_t (*half)[64], size_t row, const uint8_t *nibbles, const uint8_t *fifth) {
    uint32_t w[8];
    for (size_t c = 0; c < 8; c++) {
        uint32_t bits = (uint32_t)(fifth[c / 2] >> c % 2 * 4), spread = 0;
        for (size_t i = 0; i < 4; i++)
            spread |= (bits >> i & 1) << (8 * i + 4);
        w[c] = (load4(nibbles + c % 4 * 4) >> c / 4 * 4 & 0x0f0f0f0fu) | spread;
    }
    uint32_t low = 0x07070707u, two = 0x03030303u, one = 0x01010101u;
    uint32_t parts[5] = {w[5] & low, (w[5] >> 3 & two) << 1 | (w[7] >> 4 & one), w[6] & low,
                         (w[6] >> 3 & two) << 1 | (w[7] >> 3 & one), w[7] & low};
    for (size_t c = 0; c < 5; c++)
        store_group(half, c, row, w[c] | parts[c] << 5);
}

static void pack_block_q5_0(panel_q5_0 *p, size_t row, const q4_block_q5_0 *block) {
    p->d[row] = block->d;
    pack_fives(p->q[row / 16], row, block->qs, block->qh);
}

static void pack_block_q8_0(panel_q8_0 *p, size_t row, const q4_block_q8_0 *block) {
    p->d[row] = block->d;
    for (size_t c = 0; c < 8; c++)
        store_group(p->q[row / 16], c, row, load4((const uint8_t *)block->qs + 4 * c) ^ 0x80808080u); // w + 128
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
            store_group(p->q[s], plane, row, w[plane] | (w[3] >> plane * 2 & 0x03030303u) << 6);
    }
}

// Blocks outside, rows inside: the panel is written front to back, and the rows are as many sequential streams.
#define PACK(ID, COLUMNS)                                                                                              \
    static void pack_##ID(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {                  \
        panel_##ID *p = dst;                                                                                           \
        for (size_t b = 0; b < k / COLUMNS; b++)                                                                       \
            for (size_t r = 0; r < n_rows; r++)                                                                        \
                pack_block_##ID(p + b, r, (const q4_block_##ID *)(src + r * row_bytes) + b);                           \
    }

PACK(q4_0, Q4_BLOCK)
PACK(q4_1, Q4_BLOCK)
PACK(q5_0, Q4_BLOCK)
PACK(q8_0, Q4_BLOCK)
PACK(q6_k, Q4_SUPER)

#define LAYOUT(ID, TYPE, ROWS, COLUMNS)                                                                                \
    const struct q4_layout q4_x86_layout_##ID = {.name = "rows" #ROWS,                                                 \
                                                 .type = TYPE,                                                         \
                                                 .rows = ROWS,                                                         \
                                                 .block_columns = COLUMNS,                                             \
                                                 .block_bytes = sizeof(panel_##ID),                                    \
                                                 .pack = pack_##ID}

LAYOUT(q4_0, Q4_TYPE_Q4_0, 32, Q4_BLOCK);
LAYOUT(q4_1, Q4_TYPE_Q4_1, 32, Q4_BLOCK);
LAYOUT(q5_0, Q4_TYPE_Q5_0, 32, Q4_BLOCK);
LAYOUT(q8_0, Q4_TYPE_Q8_0, 32, Q4_BLOCK);
LAYOUT(q6_k, Q4_TYPE_Q6_K, 16, Q4_SUPER);
