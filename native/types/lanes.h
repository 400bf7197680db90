// What the files of float types share: 16 rows side by side, [column][row], so that lanes are rows.
#ifndef Q4_TYPES_LANES_H
#define Q4_TYPES_LANES_H

#include "../matmul/matmul.h"
#include "../ops/q4math.h"

#define Q4_LANES 16

static inline void q4_pack_lanes(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k,
                                 size_t bytes) {
    uint8_t *out = dst;
    for (size_t r = 0; r < n_rows; r++, src += row_bytes)
        for (size_t c = 0; c < k; c++)
            memcpy(out + (c * Q4_LANES + r) * bytes, src + c * bytes, bytes);
}

// DOT: the entry of q4_ops that multiplies 16 rows with one token.
#define Q4_MULTIPLY_LANES(t, ELEMENT, DOT)                                                                             \
    do {                                                                                                               \
        float y[Q4_LANES];                                                                                             \
        for (size_t r = 0; r < (t)->n_rows; r += Q4_LANES)                                                             \
            for (size_t i = 0; i < (t)->n_tokens; i++) {                                                               \
                const float *x = (t)->acts->x + ((t)->token0 + i) * (t)->acts->x_stride;                               \
                (t)->ops->DOT(y, (const ELEMENT *)(t)->weights + r * (t)->k, x, (t)->k);                               \
                memcpy((t)->y + i * (t)->y_stride + r, y, q4_min_size(Q4_LANES, (t)->n_rows - r) * sizeof *y);         \
            }                                                                                                          \
    } while (0)

#define Q4_LANES_LAYOUT(TYPE, ELEMENT, PACK)                                                                           \
    {.name = "lanes16",                                                                                                \
     .type = TYPE,                                                                                                     \
     .rows = Q4_LANES,                                                                                                 \
     .block_columns = 1,                                                                                               \
     .block_bytes = Q4_LANES * sizeof(ELEMENT),                                                                        \
     .pack = PACK}

#endif
