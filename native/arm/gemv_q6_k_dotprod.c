// One token times Q6_K weights in the layout q6b.
#include "q6b.h"

#include <string.h>

void q4_panel_q6_k_dotprod(const uint8_t *panel, const int8_t *q, const float *d, size_t n_blocks, float y[Q6B_ROWS]);

void q4_gemv_q6_k_dotprod(const struct q4_task *t) {
    size_t n_blocks = t->k / Q4_SUPER;
    const int8_t *q = t->acts->q + t->token0 * t->k;
    const float *d = t->acts->d + t->token0 * n_blocks;
    const uint8_t *panel = t->weights;
    for (size_t r = 0; r < t->n_rows; r += Q6B_ROWS, panel += n_blocks * Q6B_BYTES) {
        float y[Q6B_ROWS];
        size_t rows = t->n_rows - r;
        q4_panel_q6_k_dotprod(panel, q, d, n_blocks, rows < Q6B_ROWS ? y : t->y + r);
        if (rows < Q6B_ROWS)
            memcpy(t->y + r, y, rows * sizeof *y);
    }
}
