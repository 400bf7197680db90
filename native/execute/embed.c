// Rows of an embedding, one token a unit.
#include "run.h"

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    if (!q4_columns_fit(m, op->out, 0, m->tables[op->table].columns))
        return q4_plan_fail(error, "rows of %zu columns do not fit their buffer", m->tables[op->table].columns);
    return q4_scale_fits(op->scale) || q4_plan_fail(error, "an embedding scaled by %g", (double)op->scale);
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    (void)r, (void)op;
    return range.n;
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    (void)member;
    const struct q4_table *t = &r->m->tables[op->table];
    for (size_t i = 0, token = range.first + units.first; i < units.n; i++, token++) {
        const uint8_t *source = t->data + (size_t)r->call->tokens[token] * t->row_bytes;
        float *y = q4_row(r, op->out, token);
        t->type->dequantize(y, source, t->columns);
        if (op->scale != 1.0f)
            r->m->ops->scale(y, t->columns, op->scale);
        if (!r->m->ops->all_finite(y, t->columns))
            q4_report(r, op, token);
    }
}

static struct q4_range columns(const struct q4_model *m, const struct q4_op *op) {
    return (struct q4_range){0, m->tables[op->table].columns};
}

const struct q4_op_class q4_op_embed = {
    .name = "embed",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, out), Q4_FIELD(TABLE, table), Q4_FIELD(FLOAT, scale), {0}},
    .check = check,
    .columns = columns,
    .units = units,
    .work = work,
};
