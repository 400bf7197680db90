// What the types with super-blocks of 256 columns share: sub-blocks of 16 or 32 columns with small integer scales, for
// some also minima, under one fp16 scale each. w = d * scale * q - dmin * minimum.
#ifndef Q4_TYPES_SUPER_H
#define Q4_TYPES_SUPER_H

#include "block.h"

#define Q4_MAX_SUBS (Q4_SUPER / 16)

// A super-block taken apart. Types without minima have dmin = 0 and minima of 0. Aligned, or gcc 12 loads whole vectors
// of q from an address on the stack that is not aligned to them.
struct q4_super {
    _Alignas(64) int8_t q[Q4_SUPER];
    int8_t scale[Q4_MAX_SUBS], minimum[Q4_MAX_SUBS];
    float d, dmin;
};

typedef void (*q4_unpack)(struct q4_super *w, const void *row, size_t block);

// Scale and minimum of a sub-block are exact, and so is q times the scale but for Q6_K's 25 bits. Without minima -0 is
// added, which changes nothing.
static inline void q4_dequantize_super(float *y, const void *row, size_t n, q4_unpack unpack, size_t sub) {
    for (size_t b = 0; b < n / Q4_SUPER; b++, y += Q4_SUPER) {
        struct q4_super w;
        unpack(&w, row, b);
        for (size_t i = 0; i < Q4_SUPER; i++)
            y[i] = fmaf((float)w.q[i], w.d * (float)w.scale[i / sub], -(w.dmin * (float)w.minimum[i / sub]));
    }
}

// One row times one token; the integer sums fit by docs/arithmetic.md.
static inline float q4_super_product(const void *row, const struct q4_acts *acts, size_t token, q4_unpack unpack,
                                     size_t sub, bool minima) {
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_SUPER);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_SUPER; b++, q += Q4_SUPER) {
        struct q4_super w;
        int32_t sum = 0, below = 0;
        unpack(&w, row, b);
        for (size_t s = 0; s < Q4_SUPER / sub; s++) {
            int32_t part = 0, total = 0;
            for (size_t i = s * sub; i < (s + 1) * sub; i++) {
                part += w.q[i] * q[i];
                total += q[i];
            }
            sum += w.scale[s] * part;
            below += w.minimum[s] * total;
        }
        acc = fmaf((float)sum, w.d * d[b], acc);
        if (minima)
            acc = fmaf((float)below, -(w.dmin * d[b]), acc);
    }
    return acc;
}

// The rest of a type's file: its row, and what is in it. The file defines unpack(), finite() for one block, and BLOCK.
//   FILE, NAME  q4_k, Q4_K
//   SUB         columns of a sub-block
//   MINIMA      whether there are any
//   SEARCH      the function that makes a block
#define Q4_SUPER_TYPE(FILE, NAME, SUB, MINIMA, SEARCH)                                                                 \
    static bool q4_finite_##FILE(const void *row, size_t blocks) {                                                     \
        const q4_block_##FILE *b = row;                                                                                \
        bool ok = true;                                                                                                \
        for (size_t i = 0; i < blocks; i++)                                                                            \
            ok &= finite(&b[i]);                                                                                       \
        return ok;                                                                                                     \
    }                                                                                                                  \
    static void q4_dequantize_##FILE(float *y, const void *row, size_t n) {                                            \
        q4_dequantize_super(y, row, n, unpack, SUB);                                                                   \
    }                                                                                                                  \
    static float product(const uint8_t *row, const struct q4_acts *acts, size_t token) {                               \
        return q4_super_product(row, acts, token, unpack, SUB, MINIMA);                                                \
    }                                                                                                                  \
    static const struct q4_layout rows = Q4_ROWS_LAYOUT(Q4_TYPE_##NAME, Q4_SUPER, q4_block_##FILE);                    \
    static void q4_matmul_##FILE##_portable(const struct q4_task *t) {                                                 \
        q4_multiply_rows(t, q4_panel_bytes(&rows, t->k), product);                                                     \
    }                                                                                                                  \
    static const struct q4_kernel q4_kernel_##FILE = {                                                                 \
        .name = #FILE "_portable", .layout = &rows, .max_tokens = SIZE_MAX, .run = q4_matmul_##FILE##_portable};       \
    const struct q4_type Q4_NAME(q4_type_##FILE) = {                                                                   \
        .number = Q4_TYPE_##NAME,                                                                                      \
        .name = #NAME,                                                                                                 \
        .columns = Q4_SUPER,                                                                                           \
        .bytes = sizeof(q4_block_##FILE),                                                                              \
        .acts = Q4_ACT_Q8K,                                                                                            \
        .finite = q4_finite_##FILE,                                                                                    \
        .dequantize = q4_dequantize_##FILE,                                                                            \
        .kernel = &q4_kernel_##FILE,                                                                                   \
        .search = SEARCH,                                                                                              \
    }

// ---- Q4_K's and Q5_K's 12 bytes of eight 6-bit scales and eight 6-bit minima
// ------------------------------------------- Bytes 0-3 have the first four scales, 4-7 the first four minima; the
// other four have their low halves in bytes 8-11 (minima the high nibbles) and their upper two bits above the 6 of
// bytes 0-3 and 4-7.

static inline void q4_unpack_scales(const uint8_t packed[12], int8_t *scale, int8_t *minimum) {
    for (size_t i = 0; i < 4; i++) {
        scale[i] = (int8_t)(packed[i] & 63);
        minimum[i] = (int8_t)(packed[4 + i] & 63);
        scale[4 + i] = (int8_t)((packed[8 + i] & 15) | packed[i] >> 6 << 4);
        minimum[4 + i] = (int8_t)(packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4);
    }
}

static inline void q4_pack_scales(const uint8_t scale[8], const uint8_t minimum[8], uint8_t packed[12]) {
    for (size_t i = 0; i < 4; i++) {
        packed[i] = (uint8_t)(scale[i] | scale[4 + i] >> 4 << 6);
        packed[4 + i] = (uint8_t)(minimum[i] | minimum[4 + i] >> 4 << 6);
        packed[8 + i] = (uint8_t)((scale[4 + i] & 15) | minimum[4 + i] << 4);
    }
}

// ---- signed scales of Q3_K and IQ4_XS, of sub-block s --------------------------------------------------------------

static inline int8_t q4_q3_k_scale(const q4_block_q3_k *block, size_t s) {
    int low = block->scales[s % 8] >> s / 8 * 4 & 15, high = block->scales[8 + s % 4] >> s / 4 * 2 & 3;
    return (int8_t)((low | high << 4) - 32);
}

static inline int8_t q4_iq4_xs_scale(const q4_block_iq4_xs *block, size_t s) {
    int low = block->scales_l[s / 2] >> s % 2 * 4 & 15, high = block->scales_h >> 2 * s & 3;
    return (int8_t)((low | high << 4) - 32);
}

#endif
