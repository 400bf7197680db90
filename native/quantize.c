#include "quantize.h"
#include "cpu.h"
#include "ops/q4math.h"

// One block: false where a scale or value does not fit.
typedef bool (*block_fn)(const float *x, void *out);

// 1 / d, or 0 for a scale of zero (then every quant is the one that stands for zero). A subnormal d, whose inverse
// overflows, counts as zero too: as fp16 it is.
static float inverse_or_zero(float d) {
    float inverse = d == 0.0f ? 0.0f : 1.0f / d;
    return inverse > 3.0e38f || inverse < -3.0e38f ? 0.0f : inverse;
}

// v truncated to an integer, clamped to 0...15.
static uint8_t to_nibble(float v) { return v >= 15.0f ? 15 : v > 0.0f ? (uint8_t)v : 0; }

// The value of largest magnitude, the first of equals, with its sign.
static float extreme(const float *x, int n) {
    float best = x[0], magnitude = x[0] < 0.0f ? -x[0] : x[0];
    for (int i = 1; i < n; i++) {
        float a = x[i] < 0.0f ? -x[i] : x[i];
        if (a > magnitude) {
            magnitude = a;
            best = x[i];
        }
    }
    return best;
}

// The value of largest magnitude becomes -8, so that all 16 levels are used on its side.
static bool reference_q4_0(const float *x, void *out) {
    q4_block_q4_0 *block = out;
    float d = extreme(x, Q4_BLOCK) / -8.0f, inverse = inverse_or_zero(d);
    uint8_t q[Q4_BLOCK];
    for (int i = 0; i < Q4_BLOCK; i++)
        q[i] = to_nibble(x[i] * inverse + 8.5f);
    q4_pack_nibbles(q, block->qs);
    block->d = q4_float_to_half(d);
    return q4_half_is_finite(block->d);
}

// The smallest value becomes 0, the largest 15.
static bool reference_q4_1(const float *x, void *out) {
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

// To the nearest integer, halves away from zero; |v| must be below 2^31.
static int32_t round_away(float v) {
    float a = v < 0.0f ? -v : v;
    int32_t whole = (int32_t)a;
    whole += 2.0f * (a - (float)whole) >= 1.0f;
    return v < 0.0f ? -whole : whole;
}

static bool reference_q8_0(const float *x, void *out) {
    q4_block_q8_0 *block = out;
    float amax = extreme(x, Q4_BLOCK);
    float d = (amax < 0.0f ? -amax : amax) / 127.0f, inverse = inverse_or_zero(d);
    for (int i = 0; i < Q4_BLOCK; i++) {
        int32_t q = round_away(x[i] * inverse); // at most 127 and a few ulp
        block->qs[i] = (int8_t)q;
    }
    block->d = q4_float_to_half(d);
    return q4_half_is_finite(block->d);
}

static bool search_q4_0(const float *x, void *out) { return q4_search_q4_0(x, out); }
static bool search_q4_1(const float *x, void *out) { return q4_search_q4_1(x, out); }
static bool search_q8_0(const float *x, void *out) { return q4_search_q8_0(x, out); }
static bool search_q6_k(const float *x, void *out) { return q4_search_q6_k(x, out); }

static bool to_half(const float *x, void *out) {
    uint16_t h = q4_float_to_half(x[0]);
    memcpy(out, &h, sizeof h);
    return q4_half_is_finite(h);
}

static block_fn choose(int type, enum q4_quantize_method method) {
    bool search = method == Q4_QUANTIZE_SEARCH;
    switch (type) {
    case Q4_TYPE_F16:
        return to_half;
    case Q4_TYPE_Q4_0:
        return search ? search_q4_0 : reference_q4_0;
    case Q4_TYPE_Q4_1:
        return search ? search_q4_1 : reference_q4_1;
    case Q4_TYPE_Q8_0:
        return search ? search_q8_0 : reference_q8_0;
    case Q4_TYPE_Q6_K:
        return search_q6_k;
    default:
        return NULL;
    }
}

bool q4_quantize_supports(int type) { return choose(type, Q4_QUANTIZE_SEARCH) != NULL; }

static bool all_finite(const float *x, size_t n) {
    uint32_t worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t a = q4_float_bits(x[i]) & 0x7fffffffu;
        worst = a > worst ? a : worst;
    }
    return worst < 0x7f800000u;
}

static size_t quantize_rows(block_fn quantize, size_t block, size_t bytes, const float *x, size_t rows, size_t columns,
                            uint8_t *out) {
    for (size_t row = 0; row < rows; row++) {
        if (!all_finite(x, columns))
            return row;
        for (size_t column = 0; column < columns; column += block, x += block, out += bytes)
            if (!quantize(x, out))
                return row;
    }
    return rows;
}

size_t q4_quantize_rows(int type, enum q4_quantize_method method, const float *x, size_t rows, size_t columns,
                        void *out) {
    size_t block, bytes;
    block_fn quantize = choose(type, method);
    if (quantize == NULL || !q4_type_block(type, &block, &bytes))
        return 0;
    uint64_t fp = q4_fp_enter();
    size_t done = quantize_rows(quantize, block, bytes, x, rows, columns, out);
    q4_fp_leave(fp);
    return done;
}
