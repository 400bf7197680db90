// Products with unquantised weights: 16 rows at a time, lanes are rows, one accumulator a row, columns in order.
#include "ops.h"
#include "q4math.h"

#define DOT16(NAME, TYPE, TO_FLOAT)                                                                                    \
    void Q4_NAME(NAME)(float y[16], const TYPE *w, const float *x, size_t n) {                                         \
        float acc[16] = {0};                                                                                           \
        for (size_t c = 0; c < n; c++, w += 16)                                                                        \
            for (size_t r = 0; r < 16; r++)                                                                            \
                acc[r] = fmaf(TO_FLOAT(w[r]), x[c], acc[r]);                                                           \
        memcpy(y, acc, sizeof acc);                                                                                    \
    }

static inline float same(float w) { return w; }
static inline float from_bf16(uint16_t w) { return q4_bits_float((uint32_t)w << 16); }

DOT16(q4_dot16_f32, float, same)
DOT16(q4_dot16_f16, uint16_t, q4_half_to_float)
DOT16(q4_dot16_bf16, uint16_t, from_bf16)
