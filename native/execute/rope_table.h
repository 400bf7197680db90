// RoPE angles: computed once a call, in double precision, without libm.
#ifndef Q4_ROPE_TABLE_H
#define Q4_ROPE_TABLE_H

#include <stddef.h>

// Angle per position of each pair: base^(-2i / rope_dim) / factors[i] (factors may be NULL).
void q4_rope_frequencies(double *frequency, size_t rope_dim, double base, const float *factors);

// cos_sin[0 .. n_pairs) = magnitude * cos(position * frequency), [n_pairs .. 2 n_pairs) = … sin, rounded to fp32.
// Angles must stay below 2^30, which frequencies up to Q4_MAX_FREQUENCY see to.
#define Q4_MAX_FREQUENCY 4.0
void q4_rope_table(float *cos_sin, const double *frequency, size_t n_pairs, double magnitude, size_t position);

#endif
