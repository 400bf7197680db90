// Matrix products as units of work: panels of rows times all tokens of the call.
#include "run.h"

// Rows of a unit. GEMV takes several units at once.
static size_t unit_rows(const struct q4_run *r, const struct q4_weight *w, struct q4_range range) {
    const struct q4_layout *layout = w->kernels.gemv->layout;
    if (q4_few(r, range))
        return Q4_MAX_PANEL_ROWS;
    return layout->rows < 16 ? 16 / layout->rows * layout->rows : layout->rows;
}

// Rows that a GEMV hand-out takes: long streams.
#define GEMV_ROWS 512
// … and units that a GEMM one takes: activations that L2 holds meet several panels, where no rows have to wait in the
// scratch.
#define GEMM_UNITS 8

// Tokens between which a unit asks whether the call is to end.
#define PART_TOKENS ((size_t)4 * Q4_GATE_UP_TOKENS)

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    size_t rows = unit_rows(r, w, range);
    return (w->rows + rows - 1) / rows;
}

static size_t most(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    if (q4_few(r, range))
        return GEMV_ROWS / Q4_MAX_PANEL_ROWS;
    return r->m->weights[op->weight].kernels.gemm->adds && op->scale == 1.0f ? GEMM_UNITS : 1;
}

static struct q4_acts acts_of(const struct q4_run *r, const struct q4_op *op, const struct q4_weight *w,
                              const struct q4_kernel *kernel) {
    const struct q4_buffer *b = &r->m->buffers[op->source];
    const struct q4_buffer_data *data = &r->s->buffers[op->source];
    struct q4_acts acts = {.k = b->width, .x = data->x, .x_stride = b->width};
    q4_set_form(&acts, data, w->type->acts);
    for (size_t i = 0; i < b->n_packings; i++)
        if (b->packings[i] == kernel->packing)
            acts.packed = data->packed[i];
    return acts;
}

// What kernels leave to do: bias, where they only multiply, then scale, then residual. The cap is the logits' (work).
static void finish_product(const struct q4_ops *ops, const struct q4_task *task, const float *bias, float scale,
                           float *out, size_t width) {
    for (size_t i = 0; i < task->n_tokens; i++) {
        float *y = task->y + i * task->y_stride;
        if (bias)
            ops->add(y, bias, task->n_rows);
        if (scale != 1.0f)
            ops->scale(y, task->n_rows, scale);
        if (out)
            ops->add(out + i * width, y, task->n_rows);
    }
}

void q4_multiply_rows(struct q4_run *r, const struct q4_op *op, struct q4_range range, size_t first, size_t n,
                      float *out, size_t width, int member) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    // by the tokens that the operation serves: what fused operations made for many is packed, be it a few tokens' part
    const struct q4_kernel *kernel = q4_few(r, q4_token_range(r, op)) ? w->kernels.gemv : w->kernels.gemm;
    uint8_t *scratch = q4_scratch(r, member);
    // rows to be added wait behind the kernel's own scratch, at its end
    float *sums = (float *)(scratch + r->s->scratch_bytes) - q4_round_up(range.n * n, 16);
    bool adds = kernel->adds && op->scale == 1.0f, wait = op->add && !adds;
    const float *bias = op->bias == Q4_NONE ? NULL : r->m->vectors[op->bias].data + first;
    struct q4_acts acts = acts_of(r, op, w, kernel);
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
        .bias = bias,
        .add = op->add && adds,
    };
    q4_run_kernel(kernel, &task);
    if (!adds)
        finish_product(r->m->ops, &task, kernel->adds ? NULL : bias, op->scale, wait ? out : NULL, width);
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    size_t unit = unit_rows(r, w, range), first = units.first * unit, n = q4_min_size(units.n * unit, w->rows - first);
    bool logits = op == &r->m->plan[r->m->n_ops - 1]; // go to the caller, past any buffer
    size_t width = logits ? w->rows : r->m->buffers[op->out].width;
    struct q4_range part = range;
    for (size_t done = 0; done < range.n && (done == 0 || !q4_call_ends(r, op, member)); done += part.n) {
        part = (struct q4_range){range.first + done, q4_min_size(PART_TOKENS, range.n - done)};
        float *out = (logits ? r->call->logits + done * width : q4_row(r, op->out, part.first) + op->out_col) + first;
        q4_multiply_rows(r, op, part, first, n, out, width, member);
        for (size_t i = 0; logits && i < part.n; i++)
            if (!r->m->ops->all_finite(out + i * width, n))
                q4_report(r, op, part.first + i);
            else if (op->logit_cap != 0.0f)
                r->m->ops->cap(out + i * width, n, op->logit_cap);
    }
}

// ---- at load ------------------------------------------------------------------------------------

size_t q4_kernel_scratch(const struct q4_model *m, const struct q4_op *op) {
    const struct q4_weight *w = &m->weights[op->weight];
    const struct q4_kernel *pair[2] = {w->kernels.gemv, w->kernels.gemm};
    size_t most = 0;
    for (int i = 0; i < 2; i++) {
        size_t bytes = pair[i]->scratch ? pair[i]->scratch(w->k) : 0;
        most = bytes > most ? bytes : most;
    }
    return q4_round_up(most, 64);
}

// The kernel's, and room for the rows of one hand-out on their way to be added.
static size_t scratch(const struct q4_model *m, const struct q4_op *op, size_t n_batch) {
    size_t many = n_batch * Q4_MAX_PANEL_ROWS, few = q4_min_size(n_batch, m->few_tokens) * GEMV_ROWS;
    return q4_kernel_scratch(m, op) + q4_round_up((many < few ? few : many) * sizeof(float), 64);
}

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    const struct q4_weight *w = &m->weights[op->weight];
    struct q4_buffer *in = &m->buffers[op->source];
    if (w->experts)
        return q4_plan_fail(error, "a product of all tokens with the matrices of experts");
    if (in->width != w->k || !q4_columns_fit(m, op->out, op->out_col, w->rows))
        return q4_plan_fail(error, "a %zu x %zu matrix does not fit its buffers", w->rows, w->k);
    if (op->source == op->out)
        return q4_plan_fail(error, "a product cannot replace its own input");
    if (op->bias != Q4_NONE && m->vectors[op->bias].n != w->rows)
        return q4_plan_fail(error, "the bias does not have %zu elements", w->rows);
    if (!q4_scale_fits(op->scale))
        return q4_plan_fail(error, "a product scaled by %g", (double)op->scale);
    if (!q4_cap_fits(op->logit_cap) || (op->logit_cap != 0.0f && op != &m->plan[m->n_ops - 1]))
        return q4_plan_fail(error, "a product capped at %g; only the logits are", (double)op->logit_cap);
    in->forms[w->type->acts] = true;
    const struct q4_act_packing *packing = w->kernels.gemm->packing;
    for (size_t i = 0; packing && i < in->n_packings; i++)
        if (in->packings[i] == packing)
            return true;
    if (packing && in->n_packings == Q4_MAX_PACKINGS)
        return q4_plan_fail(error, "more than %d kinds of weights read one buffer", Q4_MAX_PACKINGS);
    if (packing)
        in->packings[in->n_packings++] = packing;
    return true;
}

static struct q4_range columns(const struct q4_model *m, const struct q4_op *op) {
    return (struct q4_range){op->out_col, m->weights[op->weight].rows};
}

const struct q4_op_class q4_op_matmul = {
    .name = "matmul",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, source),
                                        Q4_FIELD(BUFFER, out),
                                        Q4_FIELD(SIZE, out_col),
                                        Q4_FIELD(WEIGHT, weight),
                                        Q4_FIELD(ANY_VECTOR, bias),
                                        Q4_FIELD(BOOL, add),
                                        Q4_FIELD(FLOAT, scale),
                                        Q4_FIELD(FLOAT, logit_cap),
                                        {0}},
    .check = check,
    .columns = columns,
    .units = units,
    .most = most,
    .work = work,
    .lasts = true,
    .scratch = scratch,
};
