// activation(gate) * up: one token a unit; of few tokens some columns of one, which whoever makes them quantises where
// the next operation leaves that to it.
#include "run.h"

#define COLUMNS Q4_SUPER // whole blocks of any form

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    size_t width = m->buffers[op->out].width;
    if (op->source == op->out || !q4_columns_fit(m, op->source, 0, 2 * width))
        return q4_plan_fail(error, "gate and up of %zu columns each do not fit their buffer", width);
    return true;
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    return q4_few(r, range) ? range.n * ((r->m->buffers[op->out].width + COLUMNS - 1) / COLUMNS) : range.n;
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    (void)member;
    size_t width = r->m->buffers[op->out].width;
    size_t most = q4_few(r, range) ? COLUMNS : width, parts = (width + most - 1) / most;
    const struct q4_op *quantize = q4_step_of(r, op, range)->quantized;
    for (size_t unit = units.first; unit < units.first + units.n; unit++) {
        size_t token = range.first + unit / parts, first = unit % parts * most;
        size_t n = q4_min_size(most, width - first);
        const float *gate = q4_row(r, op->source, token);
        r->m->ops->gated[op->activation](q4_row(r, op->out, token) + first, gate + first, gate + width + first, n);
        if (quantize)
            q4_quantize_columns(r, quantize, token, first, n);
    }
}

const struct q4_op_class q4_op_swiglu = {
    .name = "swiglu",
    .fields =
        (const struct q4_field[]){
            Q4_FIELD(BUFFER, source), Q4_FIELD(BUFFER, out), Q4_FIELD(ACTIVATION, activation), {0}},
    .check = check,
    .units = units,
    .work = work,
    .lasts = true,
};
