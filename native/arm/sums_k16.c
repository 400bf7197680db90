#include "k16.h"

#include <arm_neon.h>

// Pairs of bytes of 32 become 8 sums
static inline int16x8_t eighths(const int8_t *q) { return vpadalq_s8(vpaddlq_s8(vld1q_s8(q)), vld1q_s8(q + 16)); }

// Four sums over 32 bytes each, twice
static inline int16x8_t four_sums(const int8_t *q) {
    int16x8_t low = vpaddq_s16(eighths(q), eighths(q + 32)), high = vpaddq_s16(eighths(q + 64), eighths(q + 96));
    int16x8_t halves = vpaddq_s16(low, high);
    return vpaddq_s16(halves, halves);
}

void q4_k16_sums(int8_t *sums, const int8_t *q, size_t n_blocks) {
    for (size_t b = 0; b < n_blocks; b++, q += Q4_SUPER, sums += K16_SUM_BYTES) {
        int16x8_t sum = vcombine_s16(vget_low_s16(four_sums(q)), vget_low_s16(four_sums(q + Q4_SUPER / 2)));
        int16x8_t high = vshrq_n_s16(sum, 6), low = vandq_s16(sum, vdupq_n_s16(63));
        vst1q_s8(sums, vmovn_high_s16(vmovn_s16(high), low));
    }
}
