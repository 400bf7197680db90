// 3 bits a weight; 16 sub-blocks of 16 columns with signed 6-bit scales: w = d * (scale - 32) * (q - 4).
//
// Low bits as Q2_K has them; bit h of hmask[l] is the third bit of column l of the 32 columns h. Scale s has its low
// nibble in byte s % 8, the second eight the high nibbles; its upper bits are bit pair s / 4 of byte 8 + s % 4.
#include "scale_search.h"

static bool finite(const q4_block_q3_k *block) { return q4_half_is_finite(block->d); }

static void unpack(struct q4_super *w, const void *row, size_t block) {
    const q4_block_q3_k *b = (const q4_block_q3_k *)row + block;
    w->d = q4_half_to_float(b->d);
    w->dmin = 0.0f;
    for (size_t s = 0; s < Q4_SUPER / 16; s++) {
        w->scale[s] = q4_q3_k_scale(b, s);
        w->minimum[s] = 0;
    }
    for (size_t i = 0; i < Q4_SUPER; i++) {
        int low = b->qs[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        w->q[i] = (int8_t)((low | (b->hmask[i % 32] >> i / 32 & 1) << 2) - 4);
    }
}

static bool q4_search_q3_k(const float *x, const float *importance, void *out) {
    static const struct scales scales = {
        .levels = {.lo = -4.0f, .hi = 3.0f, .first = -5.0f, .step = 0.25f, .count = 13, .both = true},
        .sub = 16,
        .lowest = -32.0f,
        .highest = 31.0f};
    q4_block_q3_k *block = out;
    struct found_scales found;
    if (!find_scales(x, importance, &scales, &found))
        return false;
    memset(block, 0, sizeof *block);
    block->d = found.d;
    for (size_t s = 0; s < Q4_SUPER / 16; s++) {
        int scale = found.scale[s] + 32;
        block->scales[s % 8] |= (uint8_t)((scale & 15) << s / 8 * 4);
        block->scales[8 + s % 4] |= (uint8_t)(scale >> 4 << s / 4 * 2);
    }
    for (size_t i = 0; i < Q4_SUPER; i++) {
        int q = (int)found.q[i] + 4;
        block->qs[i / 128 * 32 + i % 32] |= (uint8_t)((q & 3) << i % 128 / 32 * 2);
        block->hmask[i % 32] |= (uint8_t)(q >> 2 << i / 32);
    }
    return true;
}

Q4_SUPER_TYPE(q3_k, Q3_K, 16, false, q4_search_q3_k);
