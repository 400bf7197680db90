// 4 bits a weight; 8 sub-blocks of 32 columns: w = d * scale * q - dmin * minimum.
//
// Sub-block j has its nibbles in the 32 bytes j / 2 of qs, the even ones low, the odd ones high.
#include "super_search.h"

static bool finite(const q4_block_q4_k *block) { return q4_half_is_finite(block->d) && q4_half_is_finite(block->dmin); }

static void unpack(struct q4_super *w, const void *row, size_t block) {
    const q4_block_q4_k *b = (const q4_block_q4_k *)row + block;
    w->d = q4_half_to_float(b->d);
    w->dmin = q4_half_to_float(b->dmin);
    q4_unpack_scales(b->scales, w->scale, w->minimum);
    for (size_t i = 0; i < Q4_SUPER; i++)
        w->q[i] = (int8_t)(b->qs[i / 64 * 32 + i % 32] >> i / 32 % 2 * 4 & 15);
}

static bool q4_search_q4_k(const float *x, const float *importance, void *out) {
    static const struct lines lines = {.sub = 32, .top = 15, .top_scale = 63};
    q4_block_q4_k *block = out;
    struct found_lines found;
    if (!find_lines(x, importance, &lines, &found))
        return false;
    block->d = found.d;
    block->dmin = found.dmin;
    q4_pack_scales(found.scale, found.minimum, block->scales);
    for (size_t i = 0; i < Q4_SUPER / 2; i++) {
        const uint8_t *q = found.q + i / 32 * 64 + i % 32;
        block->qs[i] = (uint8_t)(q[0] | q[32] << 4);
    }
    return true;
}

Q4_SUPER_TYPE(q4_k, Q4_K, 32, true, q4_search_q4_k);
