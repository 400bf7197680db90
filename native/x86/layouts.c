// Packing of weights in blocks of 32 columns, once at load. See layouts.h.
#include "pack.h"

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

// A row's 32 nibbles and fifth bits.
static void pack_fives(uint8_t (*half)[64], size_t row, const uint8_t *nibbles, const uint8_t *fifth) {
    uint32_t w[8];
    for (size_t c = 0; c < 8; c++) {
        uint32_t bits = (uint32_t)(fifth[c / 2] >> c % 2 * 4), spread = 0;
        for (size_t i = 0; i < 4; i++)
            spread |= (bits >> i & 1) << (8 * i + 4);
        w[c] = (load4(nibbles + c % 4 * 4) >> c / 4 * 4 & 0x0f0f0f0fu) | spread;
    }
    store_fives(half, row, w);
}

static void pack_block_q5_0(panel_q5_0 *p, size_t row, const q4_block_q5_0 *block) {
    p->d[row] = block->d;
    pack_fives(p->q[row / 16], row, block->qs, block->qh);
}

static void pack_block_q5_1(panel_q5_1 *p, size_t row, const q4_block_q5_1 *block) {
    p->d[row] = block->d;
    p->m[row] = block->m;
    pack_fives(p->q[row / 16], row, block->qs, block->qh);
}

static void pack_block_iq4_nl(panel_iq4_nl *p, size_t row, const q4_block_iq4_nl *block) {
    p->d[row] = block->d;
    for (size_t c = 0; c < 4; c++)
        store_group(p->q[row / 16], c, row, load4(block->qs + 4 * c));
}

static void pack_block_q8_0(panel_q8_0 *p, size_t row, const q4_block_q8_0 *block) {
    p->d[row] = block->d;
    for (size_t c = 0; c < 8; c++)
        store_group(p->q[row / 16], c, row, load4((const uint8_t *)block->qs + 4 * c) ^ 0x80808080u); // w + 128
}

PACK(q4_0, Q4_BLOCK)
PACK(q4_1, Q4_BLOCK)
PACK(q5_0, Q4_BLOCK)
PACK(q5_1, Q4_BLOCK)
PACK(q8_0, Q4_BLOCK)
PACK(iq4_nl, Q4_BLOCK)

LAYOUT(q4_0, Q4_TYPE_Q4_0, 32, Q4_BLOCK);
LAYOUT(q4_1, Q4_TYPE_Q4_1, 32, Q4_BLOCK);
LAYOUT(q5_0, Q4_TYPE_Q5_0, 32, Q4_BLOCK);
LAYOUT(q5_1, Q4_TYPE_Q5_1, 32, Q4_BLOCK);
LAYOUT(q8_0, Q4_TYPE_Q8_0, 32, Q4_BLOCK);
LAYOUT(iq4_nl, Q4_TYPE_IQ4_NL, 32, Q4_BLOCK);
