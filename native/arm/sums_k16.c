#include "k16.h"

#include <arm_neon.h>

// Sums of 16 bytes: 8 of them
static inline int16x8_t sixteenths(const int8_t *q) {
    int16x8_t part[8];
    for (int i = 0; i < 8; i++)
        part[i] = vpaddlq_s8(vld1q_s8(q + 16 * i));
    for (int n = 4; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            part[i] = vpaddq_s16(part[2 * i], part[2 * i + 1]);
    return part[0];
}

static inline int8x8_t high_part(int16x8_t sum) { return vmovn_s16(vshrq_n_s16(sum, 6)); }
static inline int8x8_t low_part(int16x8_t sum) { return vmovn_s16(vandq_s16(sum, vdupq_n_s16(63))); }

static inline void sums_of(int8_t *sums, const int8_t *q, size_t n_blocks, size_t sub) {
    for (size_t b = 0; b < n_blocks; b++, q += Q4_SUPER, sums += K16_SUM_BYTES(sub)) {
        int16x8_t first = sixteenths(q), second = sixteenths(q + Q4_SUPER / 2);
        if (sub == 16) {
            vst1q_s8(sums, vcombine_s8(high_part(first), high_part(second)));
            vst1q_s8(sums + 16, vcombine_s8(low_part(first), low_part(second)));
        } else {
            int16x8_t sum = vpaddq_s16(first, second);
            vst1q_s8(sums, vcombine_s8(high_part(sum), low_part(sum)));
        }
    }
}

void q4_k16_sums(int8_t *sums, const int8_t *q, size_t n_blocks, size_t sub) {
    if (sub == 16)
        sums_of(sums, q, n_blocks, 16);
    else
        sums_of(sums, q, n_blocks, 32);
}
