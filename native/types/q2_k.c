// 2 bits a weight; 16 sub-blocks of 16 columns, whose scales and minima have 4 bits: w = d * scale * q - dmin *
// minimum.
//
// Quarter j (32 columns) of a half (128 columns) is bit pair j of the half's 32 bytes of qs.
#include "super_search.h"

static bool finite(const q4_block_q2_k *block) { return q4_half_is_finite(block->d) && q4_half_is_finite(block->dmin); }

static void unpack(struct q4_super *w, const void *row, size_t block) {
    const q4_block_q2_k *b = (const q4_block_q2_k *)row + block;
    w->d = q4_half_to_float(b->d);
    w->dmin = q4_half_to_float(b->dmin);
    for (size_t s = 0; s < Q4_SUPER / 16; s++) {
        w->scale[s] = (int8_t)(b->scales[s] & 15);
        w->minimum[s] = (int8_t)(b->scales[s] >> 4);
    }
    for (size_t i = 0; i < Q4_SUPER; i++)
        w->q[i] = (int8_t)(b->qs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3);
}

static bool q4_search_q2_k(const float *x, const float *importance, void *out) {
    static const struct lines lines = {.sub = 16, .top = 3, .top_scale = 15};
    q4_block_q2_k *block = out;
    struct found_lines found;
    if (!find_lines(x, importance, &lines, &found))
        return false;
    block->d = found.d;
    block->dmin = found.dmin;
    for (size_t s = 0; s < Q4_SUPER / 16; s++)
        block->scales[s] = (uint8_t)(found.scale[s] | found.minimum[s] << 4);
    for (size_t i = 0; i < Q4_SUPER / 4; i++) {
        const uint8_t *q = found.q + i / 32 * 128 + i % 32;
        block->qs[i] = (uint8_t)(q[0] | q[32] << 2 | q[64] << 4 | q[96] << 6);
    }
    return true;
}

Q4_SUPER_TYPE(q2_k, Q2_K, 16, true, q4_search_q2_k);
