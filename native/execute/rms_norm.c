// RMSNorm of `count` pieces of `width` columns, one token a unit; to be added, pieces are made in a thread's scratch.
#include "run.h"

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    size_t columns;
    if (!q4_mul_size(op->width, op->count, &columns) || !q4_columns_fit(m, op->source, op->source_col, columns) ||
        !q4_columns_fit(m, op->out, op->out_col, columns))
        return q4_plan_fail(error, "%zu norms of %zu columns do not fit their buffers", op->count, op->width);
    if (op->add && op->source == op->out)
        return q4_plan_fail(error, "a norm cannot be added to its own input");
    size_t apart = op->source_col > op->out_col ? op->source_col - op->out_col : op->out_col - op->source_col;
    if (op->source == op->out && apart > 0 && apart < columns)
        return q4_plan_fail(error, "columns that are read and written overlap");
    if (m->vectors[op->vector].n != op->width)
        return q4_plan_fail(error, "a norm of %zu columns has %zu weights", op->width, m->vectors[op->vector].n);
    return (op->eps > 0.0f && op->eps < 1.0f) || q4_plan_fail(error, "RMSNorm with epsilon %g", (double)op->eps);
}

static size_t scratch(const struct q4_model *m, const struct q4_op *op, size_t n_batch) {
    (void)m, (void)n_batch;
    return op->add ? op->width * sizeof(float) : 0;
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    (void)r, (void)op;
    return range.n;
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    float *made = (float *)q4_scratch(r, member);
    const float *weights = r->m->vectors[op->vector].data;
    for (size_t i = 0, token = range.first + units.first; i < units.n; i++, token++) {
        const float *x = q4_row(r, op->source, token) + op->source_col;
        float *y = q4_row(r, op->out, token) + op->out_col;
        bool ok = true;
        for (size_t piece = 0; piece < op->count; piece++, x += op->width, y += op->width) {
            ok &= r->m->ops->rms_norm(op->add ? made : y, x, weights, op->width, op->eps);
            if (op->add)
                r->m->ops->add(y, made, op->width);
        }
        if (!ok)
            q4_report(r, op, token);
    }
}

static struct q4_range columns(const struct q4_model *m, const struct q4_op *op) {
    (void)m;
    return (struct q4_range){op->out_col, op->width * op->count};
}

const struct q4_op_class q4_op_rms_norm = {
    .name = "rms_norm",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, source),
                                        Q4_FIELD(SIZE, source_col),
                                        Q4_FIELD(BUFFER, out),
                                        Q4_FIELD(SIZE, out_col),
                                        Q4_FIELD(VECTOR, vector),
                                        Q4_FIELD(SIZE, width),
                                        Q4_FIELD(SIZE, count),
                                        Q4_FIELD(FLOAT, eps),
                                        Q4_FIELD(BOOL, add),
                                        {0}},
    .check = check,
    .columns = columns,
    .units = units,
    .work = work,
    .scratch = scratch,
};
