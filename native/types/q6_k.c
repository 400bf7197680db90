// 6 bits a weight; 16 int8 sub-scales under one fp16 super-scale: w = d * scale * (q - 32).
//
// A super-block's columns come in two halves of 128; in each, quarter j (32 columns) has its low bits in nibble j / 2
// of ql bytes (j % 2) * 32 .. and its high bits in bit pair j of qh.
#include "scale_search.h"

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

static bool q4_search_q6_k(const float *x, const float *importance, void *out) {
    static const struct scales scales = {
        .levels = {.lo = -32.0f, .hi = 31.0f, .first = -33.0f, .step = 1.0f, .count = 6, .both = true},
        .sub = 16,
        .lowest = -128.0f,
        .highest = 127.0f};
    q4_block_q6_k *block = out;
    struct found_scales found;
    if (!find_scales(x, importance, &scales, &found))
        return false;
    block->d = found.d;
    memcpy(block->scales, found.scale, sizeof block->scales);
    pack(found.q, block);
    return true;
}

Q4_SUPER_TYPE(q6_k, Q6_K, 16, false, q4_search_q6_k);
