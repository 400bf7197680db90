// 6 bits a weight; 16 int8 sub-scales under one fp16 super-scale: w = d * scale * (q - 32).
//
// A super-block's columns come in two halves of 128; in each, quarter j (32 columns) has its low bits in nibble j / 2
// of ql bytes (j % 2) * 32 .. and its high bits in bit pair j of qh.
#include "search.h"
#include "super.h"

static bool finite(const q4_block_q6_k *block) { return q4_half_is_finite(block->d); }

static void unpack(struct q4_super *w, const void *row, size_t block) {
    const q4_block_q6_k *b = (const q4_block_q6_k *)row + block;
    w->d = q4_half_to_float(b->d);
    w->dmin = 0.0f;
    memcpy(w->scale, b->scales, sizeof w->scale);
    memset(w->minimum, 0, sizeof w->minimum);
    for (size_t i = 0; i < Q4_SUPER; i++) {
        size_t half = i / 128, quarter = i % 128 / 32, l = i % 32;
        int low = b->ql[half * 64 + (quarter & 1) * 32 + l] >> (quarter >> 1) * 4 & 15;
        int high = b->qh[half * 32 + l] >> quarter * 2 & 3;
        w->q[i] = (int8_t)((low | high << 4) - 32);
    }
}

#define SUB 16 // weights in a sub-block
#define N_SUBS (Q4_SUPER / SUB)
#define NEGLIGIBLE 0x1p-40f // of a super-block whose largest value is 1: far below its smallest step

static const struct levels levels = {-32.0f, 31.0f, -33.0f, 1.0f, 6, true};

// Chooses each sub-block's int8 scale for the super-scale d among the three next to its ideal one,
// and its quants. Returns the squared error.
static float fit_sub_scales(const float *y, const float *ideal, float d, int8_t *scales, float *q) {
    float total = 0.0f, inverse = 1.0f / d;
    for (int b = 0; b < N_SUBS; b++) {
        float best = 0.0f, centre = round_to(ideal[b] * inverse, -127.0f, 126.0f), trial[SUB];
        for (int k = -1; k <= 1; k++) {
            float error = round_block(y + b * SUB, SUB, d * (centre + (float)k), 0.0f, -32.0f, 31.0f, trial);
            if (k == -1 || error < best) {
                best = error;
                scales[b] = (int8_t)(centre + (float)k);
                memcpy(q + b * SUB, trial, sizeof trial);
            }
        }
        total += best;
    }
    return total;
}

// The least-squares super-scale for given sub-scales and quants.
static float refit_super_scale(const float *y, const int8_t *scales, const float *q) {
    float yw[LANES] = {0}, ww[LANES] = {0};
    for (int i = 0; i < Q4_SUPER; i++) {
        float w = (float)scales[i / SUB] * q[i];
        yw[i % LANES] += y[i] * w;
        ww[i % LANES] += w * w;
    }
    float square = q4_fold16(ww);
    return square > 0.0f ? q4_fold16(yw) / square : 0.0f;
}

// A half holds 128 weights: byte l of 64 has weight l in the low nibble and l + 64 in the high one; the upper two bits
// of weights l, l + 32, l + 64, l + 96 share a byte.
static void pack(const float *q, q4_block_q6_k *out) {
    for (int half = 0; half < 2; half++) {
        uint8_t v[128];
        for (int i = 0; i < 128; i++)
            v[i] = (uint8_t)((int)q[128 * half + i] + 32);
        for (int l = 0; l < 64; l++)
            out->ql[64 * half + l] = (uint8_t)((v[l] & 15) | (v[l + 64] & 15) << 4);
        for (int l = 0; l < 32; l++)
            out->qh[32 * half + l] =
                (uint8_t)(v[l] >> 4 | (v[l + 32] >> 4) << 2 | (v[l + 64] >> 4) << 4 | (v[l + 96] >> 4) << 6);
    }
}

static bool q4_search_q6_k(const float *x, void *out) {
    q4_block_q6_k *block = out;
    float top = extreme(x, Q4_SUPER), q[2][Q4_SUPER] = {{0}};
    int8_t scales[2][N_SUBS] = {{0}};
    uint16_t d[2] = {0, 0};
    int best = 0;
    if (fabsf(top) >= LARGEST)
        return false;
    if (fabsf(top) >= SMALLEST) {
        float y[Q4_SUPER], ideal[N_SUBS], error[2] = {0.0f, 0.0f}, unit = inverse_power(top);
        for (int i = 0; i < Q4_SUPER; i++)
            y[i] = x[i] * unit;
        for (int b = 0; b < N_SUBS; b++) {
            float sub_top = extreme(y + b * SUB, SUB);
            ideal[b] = fabsf(sub_top) < NEGLIGIBLE ? 0.0f : best_scale(y + b * SUB, SUB, sub_top, &levels);
        }
        float super = extreme(ideal, N_SUBS) / -128.0f;
        for (int k = 0; k < 2; k++) {
            d[k] = q4_float_to_half(super / unit);
            if (!q4_half_is_finite(d[k]))
                return false;
            float rounded = q4_half_to_float(d[k]) * unit;
            if (rounded == 0.0f) // too small for fp16: the block is zero
                break;
            error[k] = fit_sub_scales(y, ideal, rounded, scales[k], q[k]);
            best = k == 1 && error[1] < error[0];
            super = refit_super_scale(y, scales[k], q[k]);
        }
    }
    block->d = d[best];
    memcpy(block->scales, scales[best], sizeof block->scales);
    pack(q[best], block);
    return true;
}

Q4_SUPER_TYPE(q6_k, Q6_K, 16, false, q4_search_q6_k);
