// q4math.h's functions on four lanes: the same operations in the same order.
#ifndef Q4_ARM_VEC_MATH_H
#define Q4_ARM_VEC_MATH_H

#include "../ops/q4math.h"

#include <arm_neon.h>

static inline float32x4_t q4_vec_round_half(float32x4_t x) { return vcvt_f32_f16(vcvt_f16_f32(x)); }

// q4_expf of finite x
static inline float32x4_t q4_vec_exp(float32x4_t x) {
    const float32x4_t low = vdupq_n_f32(-87.0f), magic = vdupq_n_f32(12582912.0f);
    float32x4_t c = vminq_f32(vmaxq_f32(x, low), vdupq_n_f32(88.0f));
    float32x4_t n = vsubq_f32(vaddq_f32(vmulq_n_f32(c, 0x1.715476p+0f), magic), magic);
    float32x4_t r = vfmaq_f32(c, n, vdupq_n_f32(-0x1.62e400p-1f));
    r = vfmaq_f32(r, n, vdupq_n_f32(-0x1.7f7d1cp-20f));
    float32x4_t p = vdupq_n_f32(0x1.a01a02p-13f);
    p = vfmaq_f32(vdupq_n_f32(0x1.6c16c2p-10f), p, r);
    p = vfmaq_f32(vdupq_n_f32(0x1.111112p-7f), p, r);
    p = vfmaq_f32(vdupq_n_f32(0x1.555556p-5f), p, r);
    p = vfmaq_f32(vdupq_n_f32(0x1.555556p-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(0.5f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    int32x4_t scale = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
    float32x4_t y = vmulq_f32(p, vreinterpretq_f32_s32(scale));
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), vcltq_f32(x, low)));
}

// q4_soft_cap
static inline float32x4_t q4_vec_soft_cap(float32x4_t x, float cap) {
    const float32x4_t one = vdupq_n_f32(1.0f);
    float32x4_t e = q4_vec_exp(vmulq_n_f32(x, 2.0f / cap));
    return vmulq_n_f32(vdivq_f32(vsubq_f32(e, one), vaddq_f32(e, one)), cap);
}

#endif
