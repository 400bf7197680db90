// What waiting threads fetch meanwhile: the weights that they will read next.
#include "run.h"

// Into L2, which holds this and more.
#define PREFETCH_BYTES ((size_t)64 << 10)

struct q4_prefetch q4_next_weights(const struct q4_run *r, const struct q4_op *op, int member) {
    const struct q4_op *next = op->next_product;
    if (next == NULL || !q4_few(r, q4_token_range(r, next)))
        return (struct q4_prefetch){0};
    const struct q4_weight *w = &r->m->weights[next->weight];
    size_t units = (w->rows + Q4_MAX_PANEL_ROWS - 1) / Q4_MAX_PANEL_ROWS;
    size_t first = units * (size_t)member / (size_t)q4_team_active(r->m->team) * Q4_MAX_PANEL_ROWS;
    const struct q4_layout *layout = w->kernels.gemv->layout;
    size_t at = first / layout->rows * q4_panel_bytes(layout, w->k);
    return (struct q4_prefetch){w->data + at, w->data + q4_min_size(at + PREFETCH_BYTES, w->bytes)};
}
