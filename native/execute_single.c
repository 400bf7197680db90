// A single token: operations that their neighbours do on the way, which saves barriers and shares the work. The same
// functions compute the same bits in either place.
#include "execute.h"

// Queries, then keys, rotated where the next operation stores the keys.
static bool rope_beside_store(const struct run *r, const struct q4_op *op) {
    const struct q4_params *p = &r->m->params;
    const struct q4_op *store = op + 1;
    return store < r->m->plan + r->m->n_ops && store->kind == Q4_OP_KV_STORE && store->in == op->in &&
           op->heads == p->n_heads + p->n_kv_heads && store->in_col == op->in_col + p->n_heads * p->head_dim &&
           q4_token_range(r, store).n == q4_token_range(r, op).n;
}

// The units of the operation before write whole blocks of what this one quantises.
static bool quantize_beside(const struct run *r, const struct q4_op *op) {
    if (op == r->m->plan)
        return false;
    const struct q4_op *before = op - 1;
    size_t block = r->m->buffers[op->in].block;
    bool whole =
        before->kind == Q4_OP_SWIGLU || (before->kind == Q4_OP_ATTENTION && r->m->params.head_dim % block == 0);
    return whole && before->out == op->in && q4_token_range(r, before).n == 1;
}

// Into L2, which holds this and more.
#define AHEAD_BYTES ((size_t)64 << 10)

struct q4_ahead q4_next_weights(const struct run *r, const struct q4_op *op, int member) {
    const struct q4_op *end = r->m->plan + r->m->n_ops;
    for (op++; op < end && op->kind != Q4_OP_MATMUL; op++)
        ;
    if (op == end || q4_token_range(r, op).n != 1)
        return (struct q4_ahead){0};
    const struct q4_weight *w = &r->m->weights[op->weight];
    size_t units = (w->rows + Q4_MAX_PANEL_ROWS - 1) / Q4_MAX_PANEL_ROWS;
    size_t first = units * (size_t)member / (size_t)q4_team_size(r->m->team) * Q4_MAX_PANEL_ROWS;
    const struct q4_layout *layout = w->kernels.gemv->layout;
    size_t at = first / layout->rows * q4_panel_bytes(layout, w->k);
    return (struct q4_ahead){w->data + at, w->data + q4_min_size(at + AHEAD_BYTES, w->bytes)};
}

bool q4_done_beside(const struct run *r, const struct q4_op *op, struct range range) {
    if (op->kind == Q4_OP_ROPE)
        return rope_beside_store(r, op);
    return range.n == 1 && op->kind == Q4_OP_QUANTIZE && quantize_beside(r, op);
}

void q4_quantize_behind(struct run *r, const struct q4_op *op, struct range range, size_t first, size_t n) {
    const struct q4_op *next = op + 1;
    if (range.n == 1 && next < r->m->plan + r->m->n_ops && next->kind == Q4_OP_QUANTIZE && quantize_beside(r, next) &&
        q4_token_range(r, next).n == 1)
        q4_quantize_columns(r, next, range.first, first, n);
}
