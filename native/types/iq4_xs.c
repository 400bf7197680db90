// 4 bits a weight that stand for values of a table; 8 sub-blocks of 32 columns with signed 6-bit scales:
// w = d * (scale - 32) * value[q].
//
// Nibbles as Q4_0 has them, 16 bytes a sub-block. Scale s has its low bits in nibble s of scales_l and its upper two in
// bit pair s of scales_h.
#include "iq4.h"
#include "super.h"

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

Q4_SUPER_TYPE(iq4_xs, IQ4_XS, 32, false, NULL);
