// Which experts a token goes to, one token a unit: their numbers, then the weight of each, then that of an expert which
// all tokens go to, where there is one.
#include "run.h"

// Whether one more score is a gate's.
static bool gated(const struct q4_model *m, const struct q4_op *op) {
    return m->buffers[op->source].width == op->experts + 1;
}

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    if (op->used == 0 || op->used > op->experts || op->experts > Q4_MAX_EXPERTS)
        return q4_plan_fail(error, "%zu of %zu experts; at most %d are supported", op->used, op->experts,
                            Q4_MAX_EXPERTS);
    if (m->buffers[op->source].width != op->experts + gated(m, op) ||
        m->buffers[op->out].width != 2 * op->used + gated(m, op))
        return q4_plan_fail(error, "the scores of %zu experts do not fit their buffers", op->experts);
    return op->source != op->out || q4_plan_fail(error, "a choice cannot replace its own input");
}

static size_t scratch(const struct q4_model *m, const struct q4_op *op, size_t n_batch) {
    (void)m, (void)n_batch;
    return op->used * sizeof(int32_t);
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    (void)r, (void)op;
    return range.n;
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    const struct q4_ops *ops = r->m->ops;
    int32_t *experts = (int32_t *)q4_scratch(r, member);
    for (size_t i = 0, token = range.first + units.first; i < units.n; i++, token++) {
        const float *scores = q4_row(r, op->source, token);
        float *out = q4_row(r, op->out, token);
        bool ok = ops->route(experts, out + op->used, scores, op->experts, op->used, op->normalised);
        for (size_t j = 0; j < op->used; j++)
            out[j] = (float)experts[j];
        if (gated(r->m, op)) {
            ok &= ops->all_finite(scores + op->experts, 1);
            out[2 * op->used] = ops->sigmoid(scores[op->experts]);
        }
        if (!ok)
            q4_report(r, op, token);
    }
}

const struct q4_op_class q4_op_router = {
    .name = "router",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, source),
                                        Q4_FIELD(BUFFER, out),
                                        Q4_FIELD(SIZE, experts),
                                        Q4_FIELD(SIZE, used),
                                        Q4_FIELD(BOOL, normalised),
                                        {0}},
    .check = check,
    .units = units,
    .work = work,
    .scratch = scratch,
};

bool q4_check_routing(const struct q4_model *m, const struct q4_op *op, char *error) {
    for (const struct q4_op *other = m->plan; other < m->plan + m->n_ops; other++)
        if (q4_op_writes(other, op->routing) &&
            (other->kind != Q4_OP_ROUTER || other->used != op->used || (op->experts && other->experts != op->experts)))
            return q4_plan_fail(error, "%s does not choose %zu experts for it", other->name, op->used);
    return true;
}
