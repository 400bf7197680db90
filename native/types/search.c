// In a file of its own: where a caller's constants reach these loops, compilers unroll what they would vectorise.
#include "search.h"

float best_scale(const float *y, int n, float top, const struct levels *l) {
    float best_gain = 0.0f, best_d = 0.0f;
    for (int k = 0; k < (l->both ? 2 : 1) * l->count; k++) {
        float level = l->first + l->step * (float)(k % l->count);
        float inverse = (k < l->count ? level : -level) / top;
        float yq[LANES] = {0}, qq[LANES] = {0};
        for (int i = 0; i < n; i += LANES)
            for (int j = 0; j < LANES; j++) {
                float q = round_to(y[i + j] * inverse, l->lo, l->hi);
                yq[j] += y[i + j] * q;
                qq[j] += q * q;
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

bool search_symmetric(const float *x, const struct levels *l, float reference_level, uint16_t *d, float *q) {
    float top = extreme(x, Q4_BLOCK);
    *d = 0;
    for (int i = 0; i < Q4_BLOCK; i++)
        q[i] = 0.0f;
    if (fabsf(top) < SMALLEST)
        return true;
    if (fabsf(top) >= LARGEST)
        return false;
    float y[Q4_BLOCK], other[Q4_BLOCK], unit = inverse_power(top);
    for (int i = 0; i < Q4_BLOCK; i++)
        y[i] = x[i] * unit;
    uint16_t reference = q4_float_to_half(top / reference_level);
    uint16_t found = q4_float_to_half(best_scale(y, Q4_BLOCK, top * unit, l) / unit);
    if (!q4_half_is_finite(found) || !q4_half_is_finite(reference))
        return false;
    float error = round_block(y, Q4_BLOCK, q4_half_to_float(reference) * unit, 0.0f, l->lo, l->hi, q);
    *d = reference;
    if (round_block(y, Q4_BLOCK, q4_half_to_float(found) * unit, 0.0f, l->lo, l->hi, other) < error) {
        *d = found;
        memcpy(q, other, sizeof other);
    }
    return true;
}
