// ops/q4math.h's functions on vectors. Includer: vec_*.h first.
#ifndef Q4_X86_VEC_MATH_H
#define Q4_X86_VEC_MATH_H

// q4_expf for x from -87 to 88. The coefficients are explained there. Rounding gives -0 where that gives 0, which
// changes nothing, and the power of two is one instruction where there is one.
static inline vf vf_exp_above(vf x) {
    vf n = vf_round(vf_mul(x, vf_all(0x1.715476p+0f)));
    vf r = vf_fma(n, vf_all(-0x1.62e400p-1f), x);
    r = vf_fma(n, vf_all(-0x1.7f7d1cp-20f), r);
    vf p = vf_fma(vf_all(0x1.a01a02p-13f), r, vf_all(0x1.6c16c2p-10f));
    p = vf_fma(p, r, vf_all(0x1.111112p-7f));
    p = vf_fma(p, r, vf_all(0x1.555556p-5f));
    p = vf_fma(p, r, vf_all(0x1.555556p-3f));
    p = vf_fma(p, r, vf_all(0.5f));
    p = vf_fma(p, r, vf_all(1.0f));
    p = vf_fma(p, r, vf_all(1.0f));
    return vf_times_power_of_2(p, n);
}

static inline vf vf_exp(vf x) {
    vf y = vf_exp_above(vf_min(vf_max(x, vf_all(-87.0f)), vf_all(88.0f)));
    return vf_where_at_least(x, vf_all(-87.0f), y);
}

// q4_soft_cap.
static inline vf vf_soft_cap(vf x, float cap) {
    vf e = vf_exp(vf_mul(x, vf_all(2.0f / cap))), one = vf_all(1.0f);
    return vf_mul(vf_all(cap), vf_div(vf_sub(e, one), vf_add(e, one)));
}

// q4_fold16.
static inline float vf_fold16(const vf s[16 / LANES]) {
    __m256 a = vf_fold8(s);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

#endif
