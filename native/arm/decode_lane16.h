// Blocks of the layout lane16 decoded for the GEMM kernels: int8 weights and fp32 scales, once a panel for all tokens.
// Included with DECODE_TYPE = Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or IQ4_NL.
//
// Q4_0's and Q5_0's signed weights stay in the upper bits of a byte, which saves the sign extension: decoded weights
// are DECODE_FACTOR * w.
#include "../types/iq4.h"
#include "lane16.h"
#include "zip.h"

#include <arm_neon.h>

#define Q4_0 0
#define Q4_1 1
#define Q5_0 5
#define Q5_1 51
#define Q8_0 8
#define IQ4_NL 20

#define HAS_MIN (DECODE_TYPE == Q4_1 || DECODE_TYPE == Q5_1)

#if DECODE_TYPE == Q4_0
#define BLOCK_BYTES LANE16_Q4_0_BYTES
#define DECODE_FACTOR 16
#define LOW(V) vshlq_n_u8(V, 4)
#define HIGH(V) vandq_u8(V, vdupq_n_u8(0xf0))
#elif DECODE_TYPE == Q4_1
#define BLOCK_BYTES LANE16_Q4_1_BYTES
#define DECODE_FACTOR 1
#define LOW(V) vandq_u8(V, vdupq_n_u8(0x0f))
#define HIGH(V) vshrq_n_u8(V, 4)
#elif DECODE_TYPE == Q5_0
#define BLOCK_BYTES LANE16_Q5_0_BYTES
#define DECODE_FACTOR 8
#elif DECODE_TYPE == Q5_1
#define BLOCK_BYTES LANE16_Q5_1_BYTES
#define DECODE_FACTOR 1
#elif DECODE_TYPE == IQ4_NL
#define BLOCK_BYTES LANE16_IQ4_NL_BYTES
#define DECODE_FACTOR 1
#define LOW(V) vandq_u8(V, vdupq_n_u8(0x0f))
#define HIGH(V) vshrq_n_u8(V, 4)
#else
#define BLOCK_BYTES LANE16_Q8_0_BYTES
#define DECODE_FACTOR 1
#endif

// fp16 scales of the group's 4 rows
static inline float32x4_t group_scales(const uint8_t *half, size_t group) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)half + 4 * group)));
}

// The group's 4 rows of a column quad
static inline const uint8_t *quad_weights(const uint8_t *block, size_t group, size_t quad) {
    return block + (HAS_MIN ? 64 : 32) + quad * 64 + group * 16;
}

// The start of integer sums in the tiles' assembly: floats whose unit in the last place is 1 / DECODE_FACTOR.
#define MAGIC (DECODE_FACTOR == 16 ? 0x49400000u : DECODE_FACTOR == 8 ? 0x49c00000u : 0x4b400000u)
#define MAGIC4 MAGIC, MAGIC, MAGIC, MAGIC

// The group's 8 column quads; with DECODE_PAIRS as zip.h has them
static inline void decode_quads(uint8x16_t v[8], const uint8_t *block, size_t group) {
#if DECODE_TYPE == Q8_0
    for (size_t c = 0; c < 8; c++)
        v[c] = vld1q_u8(quad_weights(block, group, c));
    ZIP_QUADS(v, 8);
#elif DECODE_TYPE == Q5_0 || DECODE_TYPE == Q5_1
    uint8x16_t p[5];
    for (size_t c = 0; c < 5; c++) {
        p[c] = vld1q_u8(quad_weights(block, group, c));
        v[c] = vandq_u8(p[c], vdupq_n_u8(0xf8));
    }
    v[5] = vshlq_n_u8(vsliq_n_u8(p[0], p[1], 3), 3);
    v[6] = vshlq_n_u8(vsliq_n_u8(p[2], p[3], 3), 3);
    v[7] = vsriq_n_u8(vshlq_n_u8(p[1], 5), vsriq_n_u8(vshlq_n_u8(p[3], 5), vshlq_n_u8(p[4], 5), 1), 1);
#if DECODE_TYPE == Q5_1
    for (size_t c = 0; c < 8; c++) // 8 (q - 16) to q
        v[c] = vshrq_n_u8(veorq_u8(v[c], vdupq_n_u8(0x80)), 3);
#endif
    ZIP_QUADS(v, 8);
#else
    uint8x16_t packed[4];
    for (size_t c = 0; c < 4; c++)
        packed[c] = vld1q_u8(quad_weights(block, group, c));
    ZIP_QUADS(packed, 4);
    for (size_t c = 0; c < 4; c++) {
        v[c] = LOW(packed[c]);
        v[c + 4] = HIGH(packed[c]);
    }
#if DECODE_TYPE == IQ4_NL
    uint8x16_t values = vreinterpretq_u8_s8(vld1q_s8(q4_iq4_values));
    for (size_t c = 0; c < 8; c++)
        v[c] = vqtbl1q_u8(values, v[c]);
#endif
#endif
}
