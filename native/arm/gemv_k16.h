// One token times weights in the layout k16. Included once a kernel with these macros:
//   GEMV_NAME    the kernel's function
//   GEMV_PANEL   16 rows times one token (panel_k16.inc)
//   GEMV_BLOCK   bytes of a super-block of a panel
//   GEMV_MINIMA  columns of a sub-block where the type has minima, for which the scratch keeps sums of activations; or
//   0
#include "k16.h"

#include <string.h>

void GEMV_PANEL(const uint8_t *panel, const int8_t *q, const float *d, const int8_t *sums, size_t n_blocks,
                float y[K16_ROWS]);

void GEMV_NAME(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_SUPER;
    const int8_t *q = t->acts->q + t->token0 * t->k;
    const float *d = t->acts->d + t->token0 * n_blocks;
    int8_t *sums = (int8_t *)t->scratch;
    const uint8_t *panel = t->weights;
    if (GEMV_MINIMA)
        q4_k16_sums(sums, q, n_blocks, GEMV_MINIMA);
    for (size_t r = 0; r < t->n_rows; r += K16_ROWS, panel += n_blocks * GEMV_BLOCK) {
        float y[K16_ROWS];
        size_t rows = t->n_rows - r;
        GEMV_PANEL(panel, q, d, sums, n_blocks, rows < K16_ROWS ? y : t->y + r);
        if (rows < K16_ROWS)
            memcpy(t->y + r, y, rows * sizeof *y);
    }
}
