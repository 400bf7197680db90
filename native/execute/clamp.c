// Columns of a buffer, limited in place to a magnitude: one token a unit.
#include "run.h"

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    if (!q4_columns_fit(m, op->source, op->source_col, op->width))
        return q4_plan_fail(error, "%zu columns do not fit their buffer", op->width);
    return q4_scale_fits(op->limit) || q4_plan_fail(error, "values clamped to %g", (double)op->limit);
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    (void)r, (void)op;
    return range.n;
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    (void)member;
    for (size_t i = 0, token = range.first + units.first; i < units.n; i++, token++) {
        float *x = q4_row(r, op->source, token) + op->source_col;
        if (!r->m->ops->all_finite(x, op->width)) // which clamping would hide
            q4_report(r, op, token);
        r->m->ops->clamp(x, op->width, op->limit);
    }
}

const struct q4_op_class q4_op_clamp = {
    .name = "clamp",
    .fields =
        (const struct q4_field[]){
            Q4_FIELD(BUFFER, source), Q4_FIELD(SIZE, source_col), Q4_FIELD(SIZE, width), Q4_FIELD(FLOAT, limit), {0}},
    .check = check,
    .units = units,
    .work = work,
};
