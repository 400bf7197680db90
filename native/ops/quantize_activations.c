// Activations to int8, the input of every integer matrix product.
#include "ops.h"
#include "q4math.h"

#define SMALLEST_AMAX 0x1p-110f // below it 127 / amax could overflow, and the block counts as zero
#define HALF_MAX 65504.0f

// max |x| as the integer form of a float: exact, free of order, and above 0x7f7fffff where a value is not finite.
static inline uint32_t max_magnitude(const float *x, size_t n) {
    uint32_t worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t a = q4_float_bits(x[i]) & 0x7fffffffu;
        worst = a > worst ? a : worst;
    }
    return worst;
}

static inline int32_t round_block(const float *x, float inverse, int8_t *q, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        float r = q4_round_even(x[i] * inverse);
        r = r > 127.0f ? 127.0f : r;
        r = r < -127.0f ? -127.0f : r;
        q[i] = (int8_t)(int32_t)r;
        sum += q[i];
    }
    return sum;
}

bool Q4_NAME(q4_quantize_q8)(const float *x, size_t n, int8_t *q, float *d, int32_t *sum) {
    bool finite = true;
    for (size_t b = 0; b < n / Q4_BLOCK; b++, x += Q4_BLOCK, q += Q4_BLOCK) {
        uint32_t bits = max_magnitude(x, Q4_BLOCK);
        float amax = q4_bits_float(bits);
        bool usable = bits < 0x7f800000u && amax >= SMALLEST_AMAX;
        finite &= bits < 0x7f800000u;
        if (!usable) {
            memset(q, 0, Q4_BLOCK);
            d[b] = 0.0f;
            sum[b] = 0;
            continue;
        }
        sum[b] = round_block(x, 127.0f / amax, q, Q4_BLOCK);
        float scale = amax / 127.0f;
        d[b] = q4_round_half(scale < HALF_MAX ? scale : HALF_MAX);
    }
    return finite;
}

bool Q4_NAME(q4_quantize_q8k)(const float *x, size_t n, int8_t *q, float *d, int32_t *sum) {
    (void)sum;
    bool finite = true;
    for (size_t b = 0; b < n / Q4_SUPER; b++, x += Q4_SUPER, q += Q4_SUPER) {
        uint32_t bits = max_magnitude(x, Q4_SUPER);
        float amax = q4_bits_float(bits);
        bool usable = bits < 0x7f800000u && amax >= SMALLEST_AMAX;
        finite &= bits < 0x7f800000u;
        if (!usable) {
            memset(q, 0, Q4_SUPER);
            d[b] = 0.0f;
            continue;
        }
        round_block(x, 127.0f / amax, q, Q4_SUPER);
        d[b] = amax / 127.0f;
    }
    return finite;
}
