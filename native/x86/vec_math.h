// ops/q4math.h's functions on vectors. Includer: vec_*.h first.
#ifndef Q4_X86_VEC_MATH_H
#define Q4_X86_VEC_MATH_H

// q4_expf. The coefficients are explained there.
static inline vf vf_exp(vf x) {
    vf c = vf_min(vf_max(x, vf_all(-87.0f)), vf_all(88.0f)), big = vf_all(12582912.0f);
    vf n = vf_sub(vf_add(vf_mul(c, vf_all(0x1.715476p+0f)), big), big);
    vf r = vf_fma(n, vf_all(-0x1.62e400p-1f), c);
    r = vf_fma(n, vf_all(-0x1.7f7d1cp-20f), r);
    vf p = vf_fma(vf_all(0x1.a01a02p-13f), r, vf_all(0x1.6c16c2p-10f));
    p = vf_fma(p, r, vf_all(0x1.111112p-7f));
    p = vf_fma(p, r, vf_all(0x1.555556p-5f));
    p = vf_fma(p, r, vf_all(0x1.555556p-3f));
    p = vf_fma(p, r, vf_all(0.5f));
    p = vf_fma(p, r, vf_all(1.0f));
    p = vf_fma(p, r, vf_all(1.0f));
    return vf_where_at_least(x, vf_all(-87.0f), vf_mul(p, vf_power_of_2(n)));
}

#endif
