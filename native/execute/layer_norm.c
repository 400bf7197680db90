// LayerNorm of whole rows, without weights: one token a unit.
#include "run.h"

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    size_t width = m->buffers[op->source].width;
    if (m->buffers[op->out].width != width)
        return q4_plan_fail(error, "a norm of %zu columns does not fit a buffer of %zu", width,
                            m->buffers[op->out].width);
    return (op->eps > 0.0f && op->eps < 1.0f) || q4_plan_fail(error, "LayerNorm with epsilon %g", (double)op->eps);
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    (void)r, (void)op;
    return range.n;
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    (void)member;
    size_t width = r->m->buffers[op->source].width;
    for (size_t i = 0, token = range.first + units.first; i < units.n; i++, token++)
        if (!r->m->ops->layer_norm(q4_row(r, op->out, token), q4_row(r, op->source, token), width, op->eps))
            q4_report(r, op, token);
}

const struct q4_op_class q4_op_layer_norm = {
    .name = "layer_norm",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, source), Q4_FIELD(BUFFER, out), Q4_FIELD(FLOAT, eps), {0}},
    .check = check,
    .units = units,
    .work = work,
};
