#include "rope_table.h"

#include <stdint.h>
#include <string.h>

// Everything below is double additions, multiplications and divisions in one written order, never contracted, so that
// a phone and a server turn a query by the same angle. Series are Taylor's, carried until the next term is below 2^-53
// of the result, which costs nothing at this call rate and needs no fitted constants.

// Adding 1.5 * 2^52 leaves no fraction bits: nearest integer, ties to even.
static double round_even(double x) { return (x + 6755399441055744.0) - 6755399441055744.0; }

// log2(x) for a positive, normal x: x = m * 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m - 1) / (m + 1)).
static double log2_double(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 0x1.6a09e667f3bcdp0) {
        m *= 0.5;
        exponent++;
    }
    double z = (m - 1.0) / (m + 1.0), z2 = z * z, sum = 0.0;
    for (int k = 25; k >= 1; k -= 2)
        sum = sum * z2 + 1.0 / k;
    return exponent + (2.0 * z * sum) * 0x1.71547652b82fep0;
}

// 2^y for |y| < 1022.
static double exp2_double(double y) {
    double n = round_even(y), r = (y - n) * 0x1.62e42fefa39efp-1, sum = 1.0;
    for (int k = 16; k >= 1; k--)
        sum = 1.0 + sum * r / k;
    uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return sum * scale;
}

// sin and cos of an angle below 2^30: r = angle - n * pi/2, with pi/2 in three parts of 33 bits so that n * part is
// exact for n < 2^20 and nearly so beyond; then the series on |r| <= pi/4.
static void sin_cos(double angle, double *sine, double *cosine) {
    double n = round_even(angle * 0x1.45f306dc9c883p-1);
    double r = angle - n * 0x1.921fb544p0;
    r -= n * 0x1.0b4611a6p-34;
    r -= n * 0x1.3198a2e037073p-69;
    double r2 = r * r, s = 1.0, c = 1.0;
    for (int k = 18; k >= 2; k -= 2) {
        s = 1.0 - s * r2 / (k * (k + 1));
        c = 1.0 - c * r2 / (k * (k - 1));
    }
    s *= r;
    switch ((int64_t)n & 3) {
    case 0:
        *sine = s, *cosine = c;
        break;
    case 1:
        *sine = c, *cosine = -s;
        break;
    case 2:
        *sine = -s, *cosine = -c;
        break;
    default:
        *sine = -c, *cosine = s;
        break;
    }
}

void q4_rope_frequencies(double *frequency, size_t rope_dim, double base, const float *factors) {
    double log2_base = log2_double(base);
    for (size_t i = 0; i < rope_dim / 2; i++) {
        double f = exp2_double(-(2.0 * (double)i / (double)rope_dim) * log2_base);
        frequency[i] = factors ? f / (double)factors[i] : f;
    }
}

void q4_rope_table(float *cos_sin, const double *frequency, size_t n_pairs, double magnitude, size_t position) {
    for (size_t i = 0; i < n_pairs; i++) {
        double sine, cosine;
        sin_cos((double)position * frequency[i], &sine, &cosine);
        cos_sin[i] = (float)(magnitude * cosine);
        cos_sin[n_pairs + i] = (float)(magnitude * sine);
    }
}
