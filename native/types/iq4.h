// The sixteen values that 4 bits of IQ4_NL and IQ4_XS stand for: finer near zero, where most weights are.
#ifndef Q4_TYPES_IQ4_H
#define Q4_TYPES_IQ4_H

#include <stdint.h>

static const int8_t q4_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Which of them v is.
static inline uint8_t q4_iq4_index(float v) {
    uint8_t i = 0;
    while (i < 15 && (float)q4_iq4_values[i] < v)
        i++;
    return i;
}

#endif
