// Scales and minima for the quantisers of Q4_K, Q5_K and Q2_K.
//
// Each sub-block gets the line d q - m (d, m >= 0) of smallest error among those that a grid of steps leads to: for a
// step the quants are rounded, and the line that fits them best follows by least squares. Errors count by emphasis()
// whether or not columns have an importance. The super-scales put the largest
// slope and minimum at the largest sub-scale; each sub-block then takes the best of the integers next to its slope and
// minimum, and its quants are rounded for them.
#ifndef Q4_TYPES_SUPER_SEARCH_H
#define Q4_TYPES_SUPER_SEARCH_H

#include "search.h"
#include "super.h"

// Sub-blocks of `sub` columns, quants 0 .. top, sub-scales and minima 0 .. top_scale.
struct lines {
    int sub, top, top_scale;
};

struct found_lines {
    uint16_t d, dmin;
    uint8_t scale[Q4_MAX_SUBS], minimum[Q4_MAX_SUBS], q[Q4_SUPER];
};

#define find_lines Q4_NAME(q4_find_lines)

// False where the super-scales are beyond fp16.
bool find_lines(const float *x, const float *importance, const struct lines *lines, struct found_lines *found);

#endif
