// Matrix products as units of work: panels of rows times all tokens of the call. Gate and up of a prompt go further:
// the thread that has 32 rows of both makes the quantised activations of the next product of them while they are in
// cache, and no floats are stored.
#include "execute.h"

#include <string.h>

void q4_set_form(struct q4_acts *acts, const struct q4_buffer_data *data, enum q4_act_form form) {
    acts->q = data->q[form];
    acts->d = data->d[form];
    acts->sum = data->sum[form];
}

// Rows of a unit. GEMV takes several units at once.
static size_t unit_rows(const struct q4_weight *w, size_t n_tokens) {
    const struct q4_layout *layout = w->kernels.gemv->layout;
    if (n_tokens > 1)
        return q4_gemm_rows(layout);
    return Q4_MAX_PANEL_ROWS;
}

static bool goes_through(const struct q4_op *op, struct range range) { return op->through && range.n > 1; }

size_t q4_matmul_units(const struct run *r, const struct q4_op *op, struct range range) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    size_t rows = goes_through(op, range) ? 2 * Q4_BLOCK : unit_rows(w, range.n);
    return (w->rows + rows - 1) / rows;
}

// GEMV: long streams. GEMM: activations that L2 holds meet several panels, where no rows have to wait in the scratch.
#define GEMM_UNITS 8
#define THROUGH_UNITS 4

size_t q4_matmul_most_units(const struct run *r, const struct q4_op *op, struct range range) {
    if (range.n == 1)
        return Q4_GEMV_ROWS / Q4_MAX_PANEL_ROWS;
    if (goes_through(op, range))
        return THROUGH_UNITS;
    return r->m->weights[op->weight].kernels.gemm->adds ? GEMM_UNITS : 1;
}

static struct q4_acts matmul_acts(const struct run *r, const struct q4_op *op, const struct q4_kernel *kernel) {
    const struct q4_buffer *b = &r->m->buffers[op->in];
    const struct q4_buffer_data *data = &r->s->buffers[op->in];
    struct q4_acts acts = {.k = b->width, .x = data->x, .x_stride = b->width};
    q4_set_form(&acts, data, r->m->weights[op->weight].type->acts);
    for (size_t i = 0; i < b->n_packings; i++)
        if (b->packings[i] == kernel->packing)
            acts.packed = data->packed[i];
    return acts;
}

// What kernels leave to do that only multiply: bias, then residual.
static void add_to_product(const struct q4_ops *ops, const struct q4_task *task, float *out, size_t width) {
    for (size_t i = 0; i < task->n_tokens; i++) {
        float *y = task->y + i * task->y_stride;
        if (task->bias)
            ops->add(y, task->bias, task->n_rows);
        if (task->add)
            ops->add(out + i * width, y, task->n_rows);
    }
}

// Rows first .. first + n - 1 of some tokens to out[token][width].
static void product(struct run *r, const struct q4_op *op, struct range range, size_t first, size_t n, float *out,
                    size_t width, int member) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    const struct q4_kernel *kernel = range.n == 1 ? w->kernels.gemv : w->kernels.gemm;
    uint8_t *scratch = r->s->scratch + (size_t)member * r->s->scratch_bytes;
    // rows to be added wait behind the kernel's own scratch, at its end
    float *sums = (float *)(scratch + r->s->scratch_bytes) - q4_round_up(range.n * n, 16);
    bool add = op->flags & Q4_OP_ADD, wait = add && !kernel->adds;
    struct q4_acts acts = matmul_acts(r, op, kernel);
    struct q4_task task = {
        .weights = w->data + first / kernel->layout->rows * q4_panel_bytes(kernel->layout, w->k),
        .k = w->k,
        .n_rows = n,
        .token0 = range.first,
        .n_tokens = range.n,
        .acts = &acts,
        .y = wait ? sums : out,
        .y_stride = wait ? n : width,
        .scratch = scratch,
        .ops = r->m->ops,
        .bias = op->vector == Q4_NONE ? NULL : r->m->vectors[op->vector].data + first,
        .add = add,
    };
    kernel->run(&task);
    if (!kernel->adds)
        add_to_product(r->m->ops, &task, out, width);
}

// ---- gate and up, SwiGLU, quantise -------------------------------------------------------------------------

// One column block of the activations of some tokens, [token][Q4_BLOCK], on its way. In a thread's scratch.
struct column_block {
    float gate[Q4_THROUGH_TOKENS * Q4_BLOCK], up[Q4_THROUGH_TOKENS * Q4_BLOCK];
    int8_t q[Q4_THROUGH_TOKENS * Q4_BLOCK];
    float d[Q4_THROUGH_TOKENS];
    int32_t sum[Q4_THROUGH_TOKENS];
};

size_t q4_through_scratch(void) { return sizeof(struct column_block); }

static void quantize_block(struct run *r, const struct q4_op *quantize, struct range range, struct column_block *c) {
    const struct q4_ops *ops = r->m->ops;
    if (ops->quantize[Q4_ACT_Q8](c->gate, range.n * Q4_BLOCK, c->q, c->d, c->sum))
        return;
    for (size_t t = 0; t < range.n; t++) // which of them?
        if (!ops->quantize[Q4_ACT_Q8](c->gate + t * Q4_BLOCK, Q4_BLOCK, c->q, c->d, c->sum))
            q4_report(r, quantize, range.first + t);
}

static void pack_block(struct run *r, int buffer, struct range range, size_t block, const struct column_block *c) {
    const struct q4_buffer *b = &r->m->buffers[buffer];
    const struct q4_buffer_data *data = &r->s->buffers[buffer];
    const struct q4_acts acts = {.k = Q4_BLOCK, .q = c->q, .d = c->d, .sum = c->sum};
    for (size_t p = 0; p < b->n_packings; p++) {
        const struct q4_act_packing *packing = b->packings[p];
        for (size_t t = 0; t < range.n; t += packing->tile) {
            uint8_t *tile = data->packed[p] + (range.first + t) / packing->tile * packing->bytes(b->width);
            packing->pack(tile + block * packing->block_bytes, &acts, t, q4_min_size(packing->tile, range.n - t));
        }
    }
}

bool q4_done_through(const struct run *r, const struct q4_op *op, struct range range) {
    const struct q4_op *plan = r->m->plan;
    if (op->kind == Q4_OP_SWIGLU)
        return op > plan && goes_through(op - 1, range);
    return op->kind == Q4_OP_QUANTIZE && op > plan + 1 && goes_through(op - 2, range);
}

static void through(struct run *r, const struct q4_op *op, struct range range, struct q4_units units, int member) {
    const struct q4_op *swiglu = op + 1, *quantize = op + 2;
    size_t up = r->m->buffers[swiglu->out].width;
    uint8_t *scratch = r->s->scratch + (size_t)(member + 1) * r->s->scratch_bytes;
    struct column_block *c = (struct column_block *)(scratch - q4_round_up(sizeof *c, 64));
    struct range part = range;
    for (size_t done = 0; done < range.n; done += part.n) {
        part = (struct range){range.first + done, q4_min_size(Q4_THROUGH_TOKENS, range.n - done)};
        for (size_t block = units.first; block < units.first + units.n; block++) {
            product(r, op, part, block * Q4_BLOCK, Q4_BLOCK, c->gate, Q4_BLOCK, member);
            product(r, op, part, up + block * Q4_BLOCK, Q4_BLOCK, c->up, Q4_BLOCK, member);
            r->m->ops->swiglu(c->gate, c->gate, c->up, part.n * Q4_BLOCK);
            quantize_block(r, quantize, part, c);
            pack_block(r, swiglu->out, part, block, c);
        }
    }
}

void q4_matmul(struct run *r, const struct q4_op *op, struct range range, struct q4_units units, int member) {
    if (goes_through(op, range)) {
        through(r, op, range, units, member);
        return;
    }
    const struct q4_weight *w = &r->m->weights[op->weight];
    size_t unit = unit_rows(w, range.n), first = units.first * unit, n = q4_min_size(units.n * unit, w->rows - first);
    bool logits = op == &r->m->plan[r->m->n_ops - 1]; // go to the caller, past any buffer
    size_t width = logits ? w->rows : r->m->buffers[op->out].width;
    float *out = (logits ? r->call->logits : q4_row(r, op->out, range.first) + op->out_col) + first;
    product(r, op, range, first, n, out, width, member);
    for (size_t i = 0; logits && i < range.n; i++)
        if (!r->m->ops->all_finite(out + i * width, n))
            q4_report(r, op, range.first + i);
}
