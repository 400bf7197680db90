// What a token's experts have made, each times its weight, added to the residual: one token a unit, of a single token
// some columns.
#include "run.h"

#define COLUMNS ((size_t)512)

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    size_t width = m->buffers[op->out].width, pieces;
    if (op->source == op->out || op->routing == op->out || op->count < op->used ||
        m->buffers[op->routing].width != op->used + op->count || !q4_mul_size(op->count, width, &pieces) ||
        m->buffers[op->source].width != pieces)
        return q4_plan_fail(error, "%zu pieces of %zu columns do not fit their buffers", op->count, width);
    return q4_check_routing(m, op, error);
}

static size_t scratch(const struct q4_model *m, const struct q4_op *op, size_t n_batch) {
    (void)n_batch;
    return q4_min_size(COLUMNS, m->buffers[op->out].width) * sizeof(float);
}

static size_t chunks(const struct q4_run *r, const struct q4_op *op) {
    return (r->m->buffers[op->out].width + COLUMNS - 1) / COLUMNS;
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    return range.n == 1 ? chunks(r, op) : range.n;
}

static void add_columns(struct q4_run *r, const struct q4_op *op, size_t token, size_t first, float *sum) {
    size_t width = r->m->buffers[op->out].width, n = q4_min_size(COLUMNS, width - first);
    const float *x = q4_row(r, op->source, token) + first, *weights = q4_row(r, op->routing, token) + op->used;
    for (size_t i = 0; i < n; i++)
        sum[i] = 0.0f;
    for (size_t piece = 0; piece < op->count; piece++)
        r->m->ops->add_scaled(sum, x + piece * width, n, weights[piece]);
    r->m->ops->add(q4_row(r, op->out, token) + first, sum, n);
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    float *sum = (float *)q4_scratch(r, member);
    for (size_t unit = units.first; unit < units.first + units.n; unit++)
        if (range.n == 1)
            add_columns(r, op, range.first, unit * COLUMNS, sum);
        else
            for (size_t chunk = 0; chunk < chunks(r, op); chunk++)
                add_columns(r, op, range.first + unit, chunk * COLUMNS, sum);
}

const struct q4_op_class q4_op_experts_sum = {
    .name = "experts_sum",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, source),
                                        Q4_FIELD(BUFFER, routing),
                                        Q4_FIELD(BUFFER, out),
                                        Q4_FIELD(SIZE, used),
                                        Q4_FIELD(SIZE, count),
                                        {0}},
    .check = check,
    .units = units,
    .work = work,
    .scratch = scratch,
};
