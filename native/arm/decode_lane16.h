// Blocks of the layout lane16 decoded for the GEMM kernels: int8 weights and fp32 scales, once a panel for all tokens.
// Included with DECODE_TYPE = Q4_0, Q4_1 or Q8_0.
//
// Q4_0's signed nibbles stay in the upper half of a byte, which saves the sign extension: decoded weights are
// DECODE_FACTOR * w.
#include "lane16.h"

#include <arm_neon.h>

#define Q4_0 0
#define Q4_1 1
#define Q8_0 8

#define HAS_MIN (DECODE_TYPE == Q4_1)

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
