// What the GEMM kernels of types with super-blocks decode, by type. Included with FORMAT = Q4_K, Q5_K, Q6_K or IQ4_XS.
// With DECODE_PAIRS quads are as zip.h has them. In a layout's panel a group is 4 rows, a half two groups; a quad is 4
// columns of a group's rows.
#include "../types/iq4.h"
#include "k16.h"
#include "q6b.h"
#include "zip.h"

#include <arm_neon.h>

#define Q2_K 10
#define Q3_K 11
#define Q4_K 12
#define Q5_K 13
#define Q6_K 14
#define IQ4_XS 23

// Columns of a sub-block that has a minimum, or 0
#define MINIMA (FORMAT == Q4_K || FORMAT == Q5_K ? 32 : FORMAT == Q2_K ? 16 : 0)

#if FORMAT == Q6_K
#define PANEL_ROWS Q6B_ROWS
#define BLOCK_IN Q6B_BYTES
#define SUBS Q6B_SUB_BLOCKS

static inline void decode_quads(uint8x16_t quads[4], const uint8_t *block, size_t sub, size_t group) {
    const uint8_t *in = block + Q6B_WEIGHTS + sub * Q6B_SUB_BYTES + group * (Q6B_SUB_BYTES / 2);
    uint8x16_t v0 = vld1q_u8(in), v1 = vld1q_u8(in + 16), v2 = vld1q_u8(in + 32), mask = vdupq_n_u8(0xfc);
    quads[0] = vandq_u8(v0, mask);
    quads[1] = vandq_u8(v1, mask);
    quads[2] = vandq_u8(v2, mask);
    quads[3] = vshlq_n_u8(vsliq_n_u8(vsliq_n_u8(v0, v1, 2), v2, 4), 2);
    ZIP_QUADS(quads, 4);
}

static inline const int8_t *scales_of(const uint8_t *block, size_t sub) {
    return (const int8_t *)block + Q6B_SCALES + sub * Q6B_ROWS;
}
#elif FORMAT == Q3_K
#define PANEL_ROWS K16_ROWS
#define BLOCK_IN K16_Q3_K_BYTES
#define SUBS 16

static inline const int8_t *scales_of(const uint8_t *block, size_t sub) {
    return (const int8_t *)block + 2 * K16_ROWS + sub / 2 * K16_Q3_K_PAIR + sub % 2 * 16;
}

// As 32 w
static inline void decode_quads(uint8x16_t quads[4], const uint8_t *block, size_t sub, size_t group) {
    const uint8_t *in = block + 2 * K16_ROWS + sub / 2 * K16_Q3_K_PAIR + 32 + group * 48;
    uint8x16_t v0 = vld1q_u8(in), v1 = vld1q_u8(in + 16), v2 = vld1q_u8(in + 32), mask = vdupq_n_u8(0xe0);
    if (sub % 2 == 0) {
        quads[0] = vandq_u8(v0, mask);
        quads[1] = vandq_u8(v1, mask);
        quads[2] = vandq_u8(v2, mask);
        quads[3] = vandq_u8(vshlq_n_u8(v0, 3), mask);
    } else {
        quads[0] = vandq_u8(vshlq_n_u8(v1, 3), mask);
        quads[1] = vandq_u8(vshlq_n_u8(v2, 3), mask);
        quads[2] = vshlq_n_u8(vsliq_n_u8(v1, v0, 1), 5);
        quads[3] = vshlq_n_u8(vsliq_n_u8(vshrq_n_u8(v1, 1), v2, 1), 5);
    }
    ZIP_QUADS(quads, 4);
}
#elif FORMAT == Q2_K
#define PANEL_ROWS K16_ROWS
#define BLOCK_IN K16_Q2_K_BYTES
#define SUBS 16

static inline const uint8_t *four_of(const uint8_t *block, size_t sub) {
    return block + 4 * K16_ROWS + sub / 4 * K16_Q2_K_FOUR;
}

static inline void decode_quads(uint8x16_t quads[4], const uint8_t *block, size_t sub, size_t group) {
    const uint8_t *in = four_of(block, sub) + 64 + group * 64;
    for (size_t i = 0; i < 4; i++)
        quads[i] = vandq_u8(vshlq_u8(vld1q_u8(in + 16 * i), vdupq_n_s8((int8_t)(-2 * (int)(sub % 4)))), vdupq_n_u8(3));
    ZIP_QUADS(quads, 4);
}

// [4 rows x 4 sub-blocks] of a group, from sub-block `sub` on
static inline uint8x16_t minima_of(const uint8_t *block, size_t group, size_t sub) {
    return vshrq_n_u8(vld1q_u8(four_of(block, sub) + group * 16), 4);
}

static inline int8x8_t scales_at(const uint8_t *block, size_t sub, size_t half) {
    uint8x16x2_t v = vld2q_u8(four_of(block, sub) + half * 32);
    uint8x16_t one = sub % 2 ? v.val[1] : v.val[0]; // of every second sub-block
    uint8x8_t even = vuzp1_u8(vget_low_u8(one), vget_high_u8(one)), odd = vuzp2_u8(vget_low_u8(one), vget_high_u8(one));
    return vreinterpret_s8_u8(vand_u8(sub % 4 < 2 ? even : odd, vdup_n_u8(15)));
}
#else
#define PANEL_ROWS K16_ROWS
#define SUBS K16_SUBS
#if FORMAT == Q4_K
#define BLOCK_IN K16_Q4_K_BYTES
#define SUB_IN K16_Q4_K_SUB
#elif FORMAT == Q5_K
#define BLOCK_IN K16_Q5_K_BYTES
#define SUB_IN K16_Q5_K_SUB
#else
#define BLOCK_IN K16_IQ4_XS_BYTES
#define SUB_IN K16_Q4_K_SUB
#endif

static inline const int8_t *scales_of(const uint8_t *block, size_t sub) {
    return (const int8_t *)block + (MINIMA ? K16_MINIMA + K16_MINIMA_BYTES : 2 * K16_ROWS) + sub * SUB_IN;
}

#if FORMAT == Q5_K
static inline void decode_quads(uint8x16_t quads[8], const uint8_t *block, size_t sub, size_t group) {
    const uint8_t *in = (const uint8_t *)scales_of(block, sub) + 16 + group * 80;
    uint8x16_t v[5], mask = vdupq_n_u8(0x1f);
    for (size_t i = 0; i < 5; i++) {
        v[i] = vld1q_u8(in + 16 * i);
        quads[i] = vandq_u8(v[i], mask);
    }
    quads[5] = vshrq_n_u8(vsriq_n_u8(v[1], v[0], 2), 3);
    quads[6] = vshrq_n_u8(vsriq_n_u8(v[3], v[2], 2), 3);
    quads[7] = vshrq_n_u8(vsriq_n_u8(vshlq_n_u8(v[1], 2), vsriq_n_u8(vshlq_n_u8(v[3], 2), v[4], 1), 1), 3);
    ZIP_QUADS(quads, 8);
}
#else
static inline void decode_quads(uint8x16_t quads[8], const uint8_t *block, size_t sub, size_t group) {
    const uint8_t *in = (const uint8_t *)scales_of(block, sub) + 16 + group * 16;
    uint8x16_t packed[4];
    for (size_t i = 0; i < 4; i++)
        packed[i] = vld1q_u8(in + 64 * i);
    ZIP_QUADS(packed, 4);
    for (size_t i = 0; i < 4; i++) {
        quads[i] = vandq_u8(packed[i], vdupq_n_u8(0x0f));
        quads[i + 4] = vshrq_n_u8(packed[i], 4);
    }
#if FORMAT == IQ4_XS
    for (size_t i = 0; i < 8; i++)
        quads[i] = vqtbl1q_u8(vreinterpretq_u8_s8(vld1q_s8(q4_iq4_values)), quads[i]);
#endif
}
#endif
#endif

#define QUADS (Q4_SUPER / SUBS / 4)

#if FORMAT != Q2_K
static inline int8x8_t scales_at(const uint8_t *block, size_t sub, size_t half) {
    return vld1_s8(scales_of(block, sub) + half * 8);
}
#endif

// Sub-scales of 8 rows less those of the next sub-block: what the tiles' running sums are multiplied with.
static inline int16x8_t steps_of(const uint8_t *block, size_t sub, size_t half) {
    int8x8_t next = sub + 1 < SUBS ? scales_at(block, sub + 1, half) : vdup_n_s8(0);
    return vsubl_s8(scales_at(block, sub, half), next);
}

// fp16 d (field 0) or dmin (1) of half a panel
static inline float16x8_t field_of(const uint8_t *block, size_t field, size_t half) {
    return vreinterpretq_f16_u16(vld1q_u16((const uint16_t *)block + field * PANEL_ROWS + half * 8));
}

#if MINIMA == 32
static inline uint8x16_t minima_of(const uint8_t *block, size_t group, size_t sub) {
    return vld1q_u8(block + K16_MINIMA + group * 32 + sub * 4);
}
#endif
