// What the files of quantised types share: GGUF's rows as a layout, products row by row, 4-bit columns, fp16 scales.
#ifndef Q4_TYPES_BLOCK_H
#define Q4_TYPES_BLOCK_H

#include "../matmul/matmul.h"
#include "../ops/q4math.h"

static inline bool q4_half_is_finite(uint16_t h) { return (h & 0x7c00u) != 0x7c00u; }

// ---- the portable kernel ------------------------------------------------------------------------
// It reads GGUF's own row order, so comparing a SIMD kernel with it checks that kernel's packing too.

static inline void q4_pack_rows(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    (void)k;
    memcpy(dst, src, n_rows * row_bytes);
}

#define Q4_ROWS_LAYOUT(TYPE, COLUMNS, BLOCK)                                                                           \
    {.name = "rows",                                                                                                   \
     .type = TYPE,                                                                                                     \
     .rows = 1,                                                                                                        \
     .block_columns = COLUMNS,                                                                                         \
     .block_bytes = sizeof(BLOCK),                                                                                     \
     .pack = q4_pack_rows}

// One row times one token.
typedef float (*q4_row_product)(const uint8_t *row, const struct q4_acts *acts, size_t token);

static inline void q4_multiply_rows(const struct q4_task *t, size_t row_bytes, q4_row_product product) {
    for (size_t r = 0; r < t->n_rows; r++)
        for (size_t i = 0; i < t->n_tokens; i++)
            t->y[i * t->y_stride + r] = product(t->weights + r * row_bytes, t->acts, t->token0 + i);
}

// ---- 4-bit columns: one byte for each pair (i, i + 16) ------------------------------------------

static inline void q4_pack_nibbles(const uint8_t q[Q4_BLOCK], uint8_t out[Q4_BLOCK / 2]) {
    for (int i = 0; i < Q4_BLOCK / 2; i++)
        out[i] = (uint8_t)(q[i] | q[i + Q4_BLOCK / 2] << 4);
}

// y = q * d + offset
static inline void q4_dequantize_nibbles(float *y, const uint8_t qs[Q4_BLOCK / 2], float d, float offset) {
    for (size_t i = 0; i < Q4_BLOCK / 2; i++) {
        y[i] = fmaf((float)(qs[i] & 15), d, offset);
        y[i + Q4_BLOCK / 2] = fmaf((float)(qs[i] >> 4), d, offset);
    }
}

// Columns with a fifth bit each, column 0 the lowest of the plane: 0 .. 31.
static inline void q4_unpack_fives(const uint8_t qs[Q4_BLOCK / 2], const uint8_t qh[Q4_BLOCK / 8], int8_t q[Q4_BLOCK]) {
    for (size_t i = 0; i < Q4_BLOCK; i++) {
        int low = i < Q4_BLOCK / 2 ? qs[i] & 15 : qs[i - Q4_BLOCK / 2] >> 4;
        q[i] = (int8_t)(low | (qh[i / 8] >> i % 8 & 1) << 4);
    }
}

static inline void q4_pack_fives(const uint8_t q[Q4_BLOCK], uint8_t qs[Q4_BLOCK / 2], uint8_t qh[Q4_BLOCK / 8]) {
    memset(qh, 0, Q4_BLOCK / 8);
    for (size_t i = 0; i < Q4_BLOCK; i++)
        qh[i / 8] |= (uint8_t)(q[i] >> 4 << i % 8);
    for (size_t i = 0; i < Q4_BLOCK / 2; i++)
        qs[i] = (uint8_t)((q[i] & 15) | (q[i + Q4_BLOCK / 2] & 15) << 4);
}

#endif
