// The only transcendental functions and float conversions on the way to a token (docs/arithmetic.md).
// Every operation here is an IEEE-754 basic operation or an fma, in one written order, so that every compiler and every
// CPU gives the same bits. Branch-free, so that loops over these functions vectorise.
#ifndef Q4_MATH_H
#define Q4_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t q4_float_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float q4_bits_float(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

// Rounds |x| < 2^22 to the nearest integer, ties to even: adding 1.5 * 2^23 leaves no fraction bits.
static inline float q4_round_even(float x) { return (x + 12582912.0f) - 12582912.0f; }

// fp16 bits to fp32, exact for every finite value. The multiplication by 2^112 re-biases the exponent and normalises
// subnormals in one step.
static inline float q4_half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    float magnitude = q4_bits_float((uint32_t)(h & 0x7fffu) << 13) * 0x1p112f;
    // exponent 31 (infinity, NaN) must stay non-finite, so that it is found and reported
    uint32_t special = (h & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
    return q4_bits_float(q4_float_bits(magnitude) | sign | special);
}

// fp32 to fp16 bits, to nearest, ties to even; beyond 65504 to infinity as IEEE has it; NaN stays NaN.
// Normal results: adding half of the dropped bits (and the lowest kept one, for the tie) to the integer form rounds and
// carries into the exponent. Subnormal results: adding 0.5 puts the fp32 unit in the last place at 2^-24, fp16's
// smallest.
static inline uint16_t q4_float_to_half(float x) {
    uint32_t u = q4_float_bits(x);
    uint32_t sign = (u >> 16) & 0x8000u;
    uint32_t a = u & 0x7fffffffu;
    uint32_t normal = (a - 0x38000000u + 0x0fffu + ((a >> 13) & 1u)) >> 13;
    uint32_t subnormal = q4_float_bits(q4_bits_float(a < 0x38800000u ? a : 0u) + 0.5f) - 0x3f000000u;
    uint32_t r = a < 0x38800000u ? subnormal : normal;
    r = a >= 0x477ff000u ? 0x7c00u : r; // 65520 and more round to infinity
    r = a > 0x7f800000u ? 0x7e00u : r;
    return (uint16_t)(sign | r);
}

// fp32 rounded to fp16 precision, kept as fp32.
static inline float q4_round_half(float x) { return q4_half_to_float(q4_float_to_half(x)); }

// e^x for finite x, relative error below 2 ulp; 0 below -87.0, e^88 above 88.
// e^x = 2^n * e^r with n = round(x / ln 2), |r| <= ln(2)/2. ln 2 is split so that n * hi is exact. The polynomial is
// the Taylor series to r^7, whose truncation error at ln(2)/2 (5e-9) lies below half an ulp. e^0 is exactly 1.
static inline float q4_expf(float x) {
    float c = x < -87.0f ? -87.0f : x;
    c = c > 88.0f ? 88.0f : c;
    float n = q4_round_even(c * 0x1.715476p+0f);
    float r = fmaf(n, -0x1.62e400p-1f, c);
    r = fmaf(n, -0x1.7f7d1cp-20f, r);
    float p = 0x1.a01a02p-13f;       // 1/7!
    p = fmaf(p, r, 0x1.6c16c2p-10f); // 1/6!
    p = fmaf(p, r, 0x1.111112p-7f);  // 1/5!
    p = fmaf(p, r, 0x1.555556p-5f);  // 1/4!
    p = fmaf(p, r, 0x1.555556p-3f);  // 1/3!
    p = fmaf(p, r, 0.5f);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    float scale = q4_bits_float((uint32_t)((int32_t)n + 127) << 23);
    float y = p * scale;
    return x < -87.0f ? 0.0f : y;
}

// x * sigmoid(x), the SiLU of SwiGLU: x / (1 + e^-x).
static inline float q4_silu(float x) { return x / (1.0f + q4_expf(-x)); }

// GELU by tanh, x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2, which is x * sigmoid(x * g) with
// g = 2 * sqrt(2 / pi) * (1 + 0.044715 * x^2).
#define Q4_GELU_LINEAR 0x1.988454p+0f
#define Q4_GELU_CUBIC 0x1.2444f2p-4f
static inline float q4_gelu(float x) { return x / (1.0f + q4_expf(-(x * fmaf(Q4_GELU_CUBIC, x * x, Q4_GELU_LINEAR)))); }

// cap * tanh(x / cap).
static inline float q4_soft_cap(float x, float cap) {
    float e = q4_expf(x * (2.0f / cap));
    return cap * ((e - 1.0f) / (e + 1.0f));
}

// The order of every single-vector float sum: 16 strided partial sums folded by one tree.
static inline float q4_fold16(const float s[16]) {
    float a[8], b[4];
    for (int i = 0; i < 8; i++)
        a[i] = s[i] + s[i + 8];
    for (int i = 0; i < 4; i++)
        b[i] = a[i] + a[i + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
}

#endif
