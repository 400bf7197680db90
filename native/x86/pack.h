// What the files that pack weights share.
#ifndef Q4_X86_PACK_H
#define Q4_X86_PACK_H

#include "layouts.h"

#include <string.h>

static inline uint32_t load4(const uint8_t *p) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

// 4 columns of a row to their place among those of 16 rows.
static inline void store_group(uint8_t (*half)[64], size_t group, size_t row, uint32_t bytes) {
    memcpy(half[group] + row % 16 * 4, &bytes, sizeof bytes);
}

// A row's 8 groups of 5-bit weights to five planes (layouts.h).
static inline void store_fives(uint8_t (*half)[64], size_t row, const uint32_t w[8]) {
    uint32_t low = 0x07070707u, two = 0x03030303u, one = 0x01010101u;
    uint32_t parts[5] = {w[5] & low, (w[5] >> 3 & two) << 1 | (w[7] >> 4 & one), w[6] & low,
                         (w[6] >> 3 & two) << 1 | (w[7] >> 3 & one), w[7] & low};
    for (size_t c = 0; c < 5; c++)
        store_group(half, c, row, w[c] | parts[c] << 5);
}

// Blocks outside, rows inside: the panel is written front to back, and the rows are as many sequential streams.
#define PACK(ID, COLUMNS)                                                                                              \
    static void pack_##ID(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {                  \
        panel_##ID *p = dst;                                                                                           \
        for (size_t b = 0; b < k / COLUMNS; b++)                                                                       \
            for (size_t r = 0; r < n_rows; r++)                                                                        \
                pack_block_##ID(p + b, r, (const q4_block_##ID *)(src + r * row_bytes) + b);                           \
    }

#define LAYOUT(ID, TYPE, ROWS, COLUMNS)                                                                                \
    const struct q4_layout q4_x86_layout_##ID = {.name = "rows" #ROWS,                                                 \
                                                 .type = TYPE,                                                         \
                                                 .rows = ROWS,                                                         \
                                                 .block_columns = COLUMNS,                                             \
                                                 .block_bytes = sizeof(panel_##ID),                                    \
                                                 .pack = pack_##ID}

#endif
