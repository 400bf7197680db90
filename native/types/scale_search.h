// Signed sub-scales for the quantisers of Q3_K, Q6_K and IQ4_XS.
//
// Each sub-block gets its best scale (best_scale); the super-scale puts the largest of them at the lowest integer. Each
// sub-block then takes the best of the integers next to its scale, and the quants for them; once more for the
// super-scale that fits those by least squares, and the better of both is kept.
#ifndef Q4_TYPES_SCALE_SEARCH_H
#define Q4_TYPES_SCALE_SEARCH_H

#include "search.h"
#include "super.h"

// Sub-blocks of `sub` columns with integer scales lowest ... highest.
struct scales {
    struct levels levels;
    int sub;
    float lowest, highest;
};

struct found_scales {
    uint16_t d;
    int8_t scale[Q4_MAX_SUBS];
    float q[Q4_SUPER];
};

#define find_scales Q4_NAME(q4_find_scales)

// False where the super-scale is beyond fp16.
bool find_scales(const float *x, const float *importance, const struct scales *scales, struct found_scales *found);

#endif
