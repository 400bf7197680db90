// 4 bits a weight, an fp16 scale and an fp16 minimum a block: w = d * q + m.
#include "search.h"

static bool q4_finite_q4_1(const void *row, size_t blocks) {
    const q4_block_q4_1 *b = row;
    bool ok = true;
    for (size_t i = 0; i < blocks; i++)
        ok &= q4_half_is_finite(b[i].d) && q4_half_is_finite(b[i].m);
    return ok;
}

static void q4_dequantize_q4_1(float *y, const void *row, size_t n) {
    const q4_block_q4_1 *b = row;
    for (size_t i = 0; i < n; i += Q4_BLOCK, b++)
        q4_dequantize_nibbles(y + i, b->qs, q4_half_to_float(b->d), q4_half_to_float(b->m));
}

static float product(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_q4_1 *w = (const q4_block_q4_1 *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_BLOCK);
    const int32_t *total = acts->sum + token * (acts->k / Q4_BLOCK);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_BLOCK; b++, q += Q4_BLOCK) {
        int32_t sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += (w[b].qs[i] & 15) * q[i] + (w[b].qs[i] >> 4) * q[i + 16];
        acc = fmaf((float)sum, q4_half_to_float(w[b].d) * d[b], acc);
        acc = fmaf((float)total[b], q4_half_to_float(w[b].m) * d[b], acc);
    }
    return acc;
}

static const struct q4_layout rows = Q4_ROWS_LAYOUT(Q4_TYPE_Q4_1, Q4_BLOCK, q4_block_q4_1);

static void q4_matmul_q4_1_portable(const struct q4_task *t) {
    q4_multiply_rows(t, q4_panel_bytes(&rows, t->k), product);
}

static const struct q4_kernel q4_kernel_q4_1 = {
    .name = "q4_1_portable", .layout = &rows, .max_tokens = SIZE_MAX, .run = q4_matmul_q4_1_portable};

// The smallest value becomes 0, the largest 15.
static bool q4_reference_q4_1(const float *x, void *out) {
    q4_block_q4_1 *block = out;
    float min = x[0], max = x[0];
    for (int i = 1; i < Q4_BLOCK; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    float d = (max - min) / 15.0f, inverse = inverse_or_zero(d);
    uint8_t q[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++)
        q[i] = to_nibble((x[i] - min) * inverse + 0.5f);
    q4_pack_nibbles(q, block->qs);
    block->d = q4_float_to_half(d);
    block->m = q4_float_to_half(min);
    return q4_half_is_finite(block->d) && q4_half_is_finite(block->m);
}

// How many of the 15 steps the levels stop short of (or go beyond) each end of the block's range. Twice as many on
// each side take 2 % more off the error, for four times the time.
static const float TRIMS[] = {-0.2f, 0.3f, 0.8f};
#define N_TRIMS ((int)(sizeof TRIMS / sizeof *TRIMS))

// Least squares for y = d q + m, with y of mean zero and least value min: the gain is cov(y, q)^2 / var(q).
static void best_line(const float *y, float min, float range, float *d, float *m) {
    float best_gain = -1.0f;
    for (int k = 0; k < N_TRIMS * N_TRIMS; k++) {
        float step = range / (15.0f + TRIMS[k / N_TRIMS] + TRIMS[k % N_TRIMS]);
        float low = min + step * TRIMS[k / N_TRIMS], inverse = 1.0f / step;
        float q[Q4_BLOCK], yq[LANES] = {0}, qq[LANES] = {0}, q1[LANES] = {0};
        for (int i = 0; i < Q4_BLOCK; i++)
            q[i] = round_to((y[i] - low) * inverse, 0.0f, 15.0f);
        for (int i = 0; i < Q4_BLOCK; i += LANES)
            for (int j = 0; j < LANES; j++) {
                yq[j] += y[i + j] * q[i + j];
                qq[j] += q[i + j] * q[i + j];
                q1[j] += q[i + j];
            }
        float cross = q4_fold16(yq), sum = q4_fold16(q1);
        float spread = q4_fold16(qq) - sum * sum * (1.0f / Q4_BLOCK);
        if (spread > 0.0f && cross * cross / spread > best_gain) {
            best_gain = cross * cross / spread;
            *d = cross / spread;
            *m = -*d * sum * (1.0f / Q4_BLOCK);
        }
    }
}

static bool q4_search_q4_1(const float *x, void *out) {
    q4_block_q4_1 *block = out;
    float min = x[0], max = x[0];
    for (int i = 1; i < Q4_BLOCK; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    float range = max - min;
    uint16_t d[2] = {q4_float_to_half(range / 15.0f), 0}, m[2] = {q4_float_to_half(min), 0};
    if (!q4_half_is_finite(d[0]) || !q4_half_is_finite(m[0]))
        return false;
    float q[2][Q4_BLOCK] = {{0}};
    int best = 0;
    if (range >= SMALLEST) {
        float sums[LANES] = {0}, y[Q4_BLOCK], slope = 0.0f, low = 0.0f, unit = inverse_power(range);
        for (int i = 0; i < Q4_BLOCK; i++)
            sums[i % LANES] += x[i] - min;
        float mean = min + q4_fold16(sums) * (1.0f / Q4_BLOCK);
        for (int i = 0; i < Q4_BLOCK; i++)
            y[i] = (x[i] - mean) * unit;
        best_line(y, (min - mean) * unit, range * unit, &slope, &low);
        d[1] = q4_float_to_half(slope / unit);
        m[1] = q4_float_to_half(mean + low / unit);
        if (!q4_half_is_finite(d[1]) || !q4_half_is_finite(m[1])) // just beyond the reference's, which fit
            d[1] = d[0], m[1] = m[0];
        for (int i = 0; i < Q4_BLOCK; i++)
            y[i] = x[i] * unit; // exact, so that a block that fits exactly has no error
        float error[2];
        for (int k = 0; k < 2; k++)
            error[k] = round_block(y, Q4_BLOCK, q4_half_to_float(d[k]) * unit, q4_half_to_float(m[k]) * unit, 0.0f,
                                   15.0f, q[k]);
        best = error[1] < error[0];
    }
    block->d = d[best];
    block->m = m[best];
    uint8_t nibbles[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++)
        nibbles[i] = (uint8_t)q[best][i];
    q4_pack_nibbles(nibbles, block->qs);
    return true;
}

const struct q4_type Q4_NAME(q4_type_q4_1) = {
    .number = Q4_TYPE_Q4_1,
    .name = "Q4_1",
    .columns = Q4_BLOCK,
    .bytes = sizeof(q4_block_q4_1),
    .acts = Q4_ACT_Q8,
    .finite = q4_finite_q4_1,
    .dequantize = q4_dequantize_q4_1,
    .kernel = &q4_kernel_q4_1,
    .quantize = {[Q4_QUANTIZE_SEARCH] = q4_search_q4_1, [Q4_QUANTIZE_REFERENCE] = q4_reference_q4_1},
};
