// 4 bits a weight that stand for values of a table; 8 sub-blocks of 32 columns with signed 6-bit scales:
// w = d * (scale - 32) * value[q].
//
// Nibbles as Q4_0 has them, 16 bytes a sub-block. Scale s has its low bits in nibble s of scales_l and its upper two in
// bit pair s of scales_h.
#include "scale_search.h"

static bool finite(const q4_block_iq4_xs *block) { return q4_half_is_finite(block->d); }

static void unpack(struct q4_super *w, const void *row, size_t block) {
    const q4_block_iq4_xs *b = (const q4_block_iq4_xs *)row + block;
    w->d = q4_half_to_float(b->d);
    w->dmin = 0.0f;
    for (size_t s = 0; s < Q4_SUPER / 32; s++) {
        w->scale[s] = q4_iq4_xs_scale(b, s);
        w->minimum[s] = 0;
    }
    for (size_t i = 0; i < Q4_SUPER; i++)
        w->q[i] = q4_iq4_values[b->qs[i / 32 * 16 + i % 16] >> i % 32 / 16 * 4 & 15];
}

static bool q4_search_iq4_xs(const float *x, const float *importance, void *out) {
    static const struct scales scales = {.levels = Q4_IQ4_LEVELS, .sub = 32, .lowest = -32.0f, .highest = 31.0f};
    q4_block_iq4_xs *block = out;
    struct found_scales found;
    if (!find_scales(x, importance, &scales, &found))
        return false;
    block->d = found.d;
    block->scales_h = 0;
    memset(block->scales_l, 0, sizeof block->scales_l);
    for (size_t s = 0; s < Q4_SUPER / 32; s++) {
        int scale = found.scale[s] + 32;
        block->scales_l[s / 2] |= (uint8_t)((scale & 15) << s % 2 * 4);
        block->scales_h |= (uint16_t)(scale >> 4 << 2 * s);
    }
    for (size_t i = 0; i < Q4_SUPER / 2; i++) {
        const float *q = found.q + i / 16 * 32 + i % 16;
        block->qs[i] = (uint8_t)(q4_iq4_index(q[0]) | q4_iq4_index(q[16]) << 4);
    }
    return true;
}

Q4_SUPER_TYPE(iq4_xs, IQ4_XS, 32, false, q4_search_iq4_xs);
