// In a file of its own: where a caller's constants reach these loops, compilers unroll what they would vectorise.
#include "search.h"

float best_scale(const float *y, const float *weight, int n, float top, const struct levels *l) {
    bool iq4 = l->iq4;
    float best_gain = 0.0f, best_d = 0.0f, lo = l->lo, hi = l->hi, values[Q4_SUPER];
    for (int k = 0; k < (l->both ? 2 : 1) * l->count; k++) {
        float level = l->first + l->step * (float)(k % l->count);
        float inverse = (k < l->count ? level : -level) / top;
        float yq[LANES] = {0}, qq[LANES] = {0};
        if (iq4)
            to_values(y, n, 0.0f, inverse, values);
        for (int i = 0; i < n; i += LANES)
            for (int j = 0; j < LANES; j++) {
                float q = iq4 ? values[i + j] : round_to(y[i + j] * inverse, lo, hi);
                yq[j] += weight[i + j] * (y[i + j] * q);
                qq[j] += weight[i + j] * (q * q);
            }
        float cross = q4_fold16(yq), square = q4_fold16(qq);
        float gain = square > 0.0f ? cross * cross / square : 0.0f;
        if (gain > best_gain) {
            best_gain = gain;
            best_d = cross / square;
        }
    }
    return best_d;
}

bool search_symmetric(const float *x, const float *importance, const struct levels *l, float reference_level,
                      uint16_t *d, float *q) {
    float top = extreme(x, Q4_BLOCK);
    *d = 0;
    if (fabsf(top) >= LARGEST)
        return false;
    float y[Q4_BLOCK] = {0}, weight[Q4_BLOCK], other[Q4_BLOCK];
    weigh_columns(y, NULL, Q4_BLOCK, weight);
    if (fabsf(top) < SMALLEST) {
        round_block(y, weight, Q4_BLOCK, 0.0f, 0.0f, l, q);
        return true;
    }
    float unit = inverse_power(top);
    for (int i = 0; i < Q4_BLOCK; i++)
        y[i] = x[i] * unit;
    weigh_columns(y, importance, Q4_BLOCK, weight);
    uint16_t reference = q4_float_to_half(top / reference_level);
    uint16_t found = q4_float_to_half(best_scale(y, weight, Q4_BLOCK, top * unit, l) / unit);
    if (!q4_half_is_finite(found) || !q4_half_is_finite(reference))
        return false;
    float error = round_block(y, weight, Q4_BLOCK, q4_half_to_float(reference) * unit, 0.0f, l, q);
    *d = reference;
    if (round_block(y, weight, Q4_BLOCK, q4_half_to_float(found) * unit, 0.0f, l, other) < error) {
        *d = found;
        memcpy(q, other, sizeof other);
    }
    return true;
}

// How many of the steps the levels stop short of (or go beyond) each end of the block's range. Twice as many on each
// side take 2 % more off the error, for four times the time.
static const float TRIMS[] = {-0.2f, 0.3f, 0.8f};
#define N_TRIMS ((int)(sizeof TRIMS / sizeof *TRIMS))

// Least squares for y = d q + m, with y of (weighted) mean zero and least value min: the gain is cov(y, q)^2 / var(q).
// `share` is 1 / the sum of weights.
static void best_line(const float *y, const float *weight, float share, float min, float range, float top, float *d,
                      float *m) {
    float best_gain = -1.0f;
    for (int k = 0; k < N_TRIMS * N_TRIMS; k++) {
        float step = range / (top + TRIMS[k / N_TRIMS] + TRIMS[k % N_TRIMS]);
        float low = min + step * TRIMS[k / N_TRIMS], inverse = 1.0f / step;
        float q[Q4_BLOCK], yq[LANES] = {0}, qq[LANES] = {0}, q1[LANES] = {0};
        for (int i = 0; i < Q4_BLOCK; i++)
            q[i] = round_to((y[i] - low) * inverse, 0.0f, top);
        for (int i = 0; i < Q4_BLOCK; i += LANES)
            for (int j = 0; j < LANES; j++) {
                yq[j] += weight[i + j] * (y[i + j] * q[i + j]);
                qq[j] += weight[i + j] * (q[i + j] * q[i + j]);
                q1[j] += weight[i + j] * q[i + j];
            }
        float cross = q4_fold16(yq), sum = q4_fold16(q1);
        float spread = q4_fold16(qq) - sum * sum * share;
        if (spread > 0.0f && cross * cross / spread > best_gain) {
            best_gain = cross * cross / spread;
            *d = cross / spread;
            *m = -*d * sum * share;
        }
    }
}

// The line of least squares, for a block that is not constant; y = x * unit.
static void fit_line(const float *x, const float *weight, float min, float range, float unit, float top, uint16_t *d,
                     uint16_t *m) {
    float sums[LANES] = {0}, weights[LANES] = {0}, y[Q4_BLOCK], slope = 0.0f, low = 0.0f;
    for (int i = 0; i < Q4_BLOCK; i++) {
        sums[i % LANES] += weight[i] * (x[i] - min);
        weights[i % LANES] += weight[i];
    }
    float share = 1.0f / q4_fold16(weights), mean = min + q4_fold16(sums) * share;
    for (int i = 0; i < Q4_BLOCK; i++)
        y[i] = (x[i] - mean) * unit;
    best_line(y, weight, share, (min - mean) * unit, range * unit, top, &slope, &low);
    *d = q4_float_to_half(slope / unit);
    *m = q4_float_to_half(mean + low / unit);
}

bool search_line(const float *x, const float *importance, float top, uint16_t *d_out, uint16_t *m_out, float *q_out) {
    struct levels levels = {.lo = 0.0f, .hi = top};
    float min = x[0], max = x[0];
    for (int i = 1; i < Q4_BLOCK; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    float range = max - min;
    uint16_t d[2] = {q4_float_to_half(range / top), 0}, m[2] = {q4_float_to_half(min), 0};
    if (!q4_half_is_finite(d[0]) || !q4_half_is_finite(m[0]))
        return false;
    float q[2][Q4_BLOCK] = {{0}};
    int best = 0;
    if (range >= SMALLEST) {
        float y[Q4_BLOCK], weight[Q4_BLOCK], error[2], unit = inverse_power(range);
        float size = -min > max ? -min : max, whole = inverse_power(size); // range may be a small part of it
        for (int i = 0; i < Q4_BLOCK; i++)
            y[i] = x[i] * whole;
        weigh_columns(y, importance, Q4_BLOCK, weight);
        for (int i = 0; i < Q4_BLOCK; i++)
            y[i] = x[i] * unit; // exact, so that a block that fits exactly has no error
        fit_line(x, weight, min, range, unit, top, &d[1], &m[1]);
        if (!q4_half_is_finite(d[1]) || !q4_half_is_finite(m[1])) // just beyond the reference's, which fit
            d[1] = d[0], m[1] = m[0];
        for (int k = 0; k < 2; k++)
            error[k] = round_block(y, weight, Q4_BLOCK, q4_half_to_float(d[k]) * unit, q4_half_to_float(m[k]) * unit,
                                   &levels, q[k]);
        best = error[1] < error[0];
    }
    *d_out = d[best];
    *m_out = m[best];
    memcpy(q_out, q[best], sizeof q[best]);
    return true;
}
