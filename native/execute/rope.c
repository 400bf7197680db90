// Rotary position embedding, one token a unit where nothing else does it on the way.
#include "run.h"

void q4_rotate_heads(struct q4_run *r, const struct q4_op *op, size_t token, size_t first, size_t n) {
    size_t dim = r->m->rope_tables[op->table].dim;
    const float *cos_sin = r->s->cos_sin[op->table] + token * dim;
    float *x = q4_row(r, op->source, token) + op->source_col;
    for (size_t h = first; h < first + n; h++)
        r->m->ops->rope(x + h * op->head_dim, cos_sin, dim, (enum q4_rope_style)op->style);
}

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    size_t columns;
    if (!q4_mul_size(op->heads, op->head_dim, &columns) || !q4_columns_fit(m, op->source, op->source_col, columns))
        return q4_plan_fail(error, "%zu heads of %zu columns do not fit their buffer", op->heads, op->head_dim);
    size_t dim = m->rope_tables[op->table].dim;
    return dim <= op->head_dim || q4_plan_fail(error, "RoPE over %zu of %zu dimensions", dim, op->head_dim);
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    (void)r, (void)op;
    return range.n;
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    (void)member;
    for (size_t i = 0; i < units.n; i++)
        q4_rotate_heads(r, op, range.first + units.first + i, 0, op->heads);
}

const struct q4_op_class q4_op_rope = {
    .name = "rope",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, source),
                                        Q4_FIELD(SIZE, source_col),
                                        Q4_FIELD(SIZE, heads),
                                        Q4_FIELD(SIZE, head_dim),
                                        Q4_FIELD(ROPE_TABLE, table),
                                        Q4_FIELD(ROPE_STYLE, style),
                                        {0}},
    .check = check,
    .units = units,
    .work = work,
};
