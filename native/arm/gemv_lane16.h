// One token times weights in the layout lane16. Included once a kernel with these macros:
//   GEMV_NAME    the kernel's function
//   GEMV_PANEL   16 rows times one token (panel_lane16.inc)
//   GEMV_BLOCK   bytes of a block
#include "lane16.h"

void GEMV_PANEL(const uint8_t *panel, const int8_t *q, const float *d, const int32_t *sum, size_t n_blocks,
                float y[LANE16_ROWS]);

void GEMV_NAME(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_BLOCK;
    const int8_t *q = t->acts->q + t->token0 * t->k;
    const float *d = t->acts->d + t->token0 * n_blocks;
    const int32_t *sum = t->acts->sum + t->token0 * n_blocks;
    const uint8_t *panel = t->weights;
    for (size_t r = 0; r < t->n_rows; r += LANE16_ROWS, panel += n_blocks * GEMV_BLOCK) {
        float y[LANE16_ROWS];
        size_t rows = t->n_rows - r;
        GEMV_PANEL(panel, q, d, sum, n_blocks, rows < LANE16_ROWS ? y : t->y + r);
        if (rows < LANE16_ROWS)
            memcpy(t->y + r, y, rows * sizeof *y);
    }
}
