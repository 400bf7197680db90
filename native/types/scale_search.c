#include "scale_search.h"

#define NEGLIGIBLE 0x1p-40f // of a super-block whose largest value is 1: far below its smallest step

// Chooses each sub-block's integer scale for the super-scale d among the three next to its ideal one,
// and its quants. Returns the squared error.
static float fit_integers(const float *y, const float *weight, const float *ideal, float d, const struct scales *type,
                          struct found_scales *found) {
    float total = 0.0f, inverse = 1.0f / d, trial[2 * LANES];
    int sub = type->sub;
    for (int b = 0; b < Q4_SUPER / sub; b++) {
        float best = 0.0f, centre = round_to(ideal[b] * inverse, type->lowest + 1.0f, type->highest - 1.0f);
        for (int k = -1; k <= 1; k++) {
            float scale = centre + (float)k;
            float error = round_block(y + b * sub, weight + b * sub, sub, d * scale, 0.0f, &type->levels, trial);
            if (k == -1 || error < best) {
                best = error;
                found->scale[b] = (int8_t)scale;
                memcpy(found->q + b * sub, trial, (size_t)sub * sizeof *trial);
            }
        }
        total += best;
    }
    return total;
}

// The least-squares super-scale for given sub-scales and quants.
static float refit(const float *y, const float *weight, int sub, const struct found_scales *found) {
    float yw[LANES] = {0}, ww[LANES] = {0};
    for (int i = 0; i < Q4_SUPER; i++) {
        float w = (float)found->scale[i / sub] * found->q[i];
        yw[i % LANES] += weight[i] * (y[i] * w);
        ww[i % LANES] += weight[i] * (w * w);
    }
    float square = q4_fold16(ww);
    return square > 0.0f ? q4_fold16(yw) / square : 0.0f;
}

bool find_scales(const float *x, const float *importance, const struct scales *type, struct found_scales *found) {
    float top = extreme(x, Q4_SUPER);
    struct found_scales tried[2];
    memset(tried, 0, sizeof tried);
    int best = 0, n_subs = Q4_SUPER / type->sub;
    if (fabsf(top) >= LARGEST)
        return false;
    if (fabsf(top) >= SMALLEST) {
        float y[Q4_SUPER], weight[Q4_SUPER], ideal[Q4_MAX_SUBS] = {0.0f}, error[2] = {0.0f, 0.0f};
        float unit = inverse_power(top);
        for (int i = 0; i < Q4_SUPER; i++)
            y[i] = x[i] * unit;
        weigh_columns(y, importance, Q4_SUPER, weight);
        for (int b = 0; b < n_subs; b++) {
            const float *sub = y + b * type->sub;
            float sub_top = extreme(sub, type->sub);
            ideal[b] = fabsf(sub_top) < NEGLIGIBLE
                           ? 0.0f
                           : best_scale(sub, weight + b * type->sub, type->sub, sub_top, &type->levels);
        }
        float super = extreme(ideal, n_subs) / type->lowest;
        for (int k = 0; k < 2; k++) {
            tried[k].d = q4_float_to_half(super / unit);
            if (!q4_half_is_finite(tried[k].d))
                return false;
            float rounded = q4_half_to_float(tried[k].d) * unit;
            if (rounded == 0.0f) // too small for fp16: the block is zero
                break;
            error[k] = fit_integers(y, weight, ideal, rounded, type, &tried[k]);
            best = k == 1 && error[1] < error[0];
            super = refit(y, weight, type->sub, &tried[k]);
        }
    }
    *found = tried[best];
    return true;
}
