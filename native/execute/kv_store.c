// Keys and values into the cache. A single token is cut by KV heads, a prompt by tokens; whoever stores a head rotates
// it first, where the RoPE before it leaves that to it.
#include "run.h"

static void store_heads(struct q4_run *r, const struct q4_op *op, size_t token, size_t first, size_t n) {
    const float *k = q4_row(r, op->source, token) + op->key_col, *v = q4_row(r, op->source, token) + op->value_col;
    const struct q4_kv_ops *kv = &r->m->ops->kv[r->m->kv_form];
    bool ok = true;
    for (size_t h = first; h < first + n; h++) {
        struct q4_kv_head head = q4_kv_head(&r->s->cache, op->layer, h);
        size_t column = h * op->head_dim;
        ok &= kv->store(head.keys, head.values, k + column, v + column, op->head_dim, r->call->n_past + token);
    }
    if (!ok)
        q4_report(r, op, token);
}

// Positions of a prompt that are stored at once, where each thread has some; the rest of a batch, and what crosses a
// block of the cache, goes one by one.
static size_t tokens_a_unit(const struct q4_run *r, struct q4_range range) {
    size_t threads = (size_t)q4_team_active(r->m->team);
    return r->m->ops->kv[r->m->kv_form].store_16 && range.n >= 32 * threads ? 16 : 1;
}

static bool store_16(struct q4_run *r, const struct q4_op *op, size_t token) {
    size_t position = r->call->n_past + token;
    if (position % Q4_KV_BLOCK > Q4_KV_BLOCK - 16)
        return false;
    const float *k = q4_row(r, op->source, token) + op->key_col, *v = q4_row(r, op->source, token) + op->value_col;
    const struct q4_kv_ops *kv = &r->m->ops->kv[r->m->kv_form];
    bool ok = true;
    for (size_t h = 0; h < op->heads; h++) {
        struct q4_kv_head head = q4_kv_head(&r->s->cache, op->layer, h);
        size_t column = h * op->head_dim;
        ok &= kv->store_16(head.keys, head.values, k + column, v + column, r->m->buffers[op->source].width,
                           op->head_dim, position);
    }
    return ok; // or it is done again, to find the token
}

static void store_tokens(struct q4_run *r, const struct q4_op *op, struct q4_range range, size_t unit) {
    size_t most = tokens_a_unit(r, range), first = range.first + unit * most;
    size_t n = q4_min_size(most, range.first + range.n - first);
    const struct q4_op *rope = q4_step_of(r, op, range)->rotated;
    for (size_t i = 0; rope && i < n; i++)
        q4_rotate_heads(r, rope, first + i, 0, rope->heads);
    if (n == 16 && store_16(r, op, first))
        return;
    for (size_t i = 0; i < n; i++)
        store_heads(r, op, first + i, 0, op->heads);
}

static void store_head(struct q4_run *r, const struct q4_op *op, size_t token, size_t kv_head) {
    const struct q4_op *rope = op->few.rotated;
    if (rope) { // queries, then keys
        size_t queries = rope->heads - op->heads, group = queries / op->heads;
        q4_rotate_heads(r, rope, token, kv_head * group, group);
        q4_rotate_heads(r, rope, token, queries + kv_head, 1);
    }
    store_heads(r, op, token, kv_head, 1);
}

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    size_t columns;
    if (op->layer == Q4_NONE)
        return q4_plan_fail(error, "the KV cache has layers, and this operation none");
    if (op->last)
        return q4_plan_fail(error, "the KV cache keeps every token, not the last alone");
    if (op->heads > Q4_MAX_HEADS)
        return q4_plan_fail(error, "%zu KV heads; at most %d are supported", op->heads, Q4_MAX_HEADS);
    if (op->head_dim == 0 || op->head_dim > Q4_MAX_HEAD_DIM)
        return q4_plan_fail(error, "a head has %zu dimensions; 1 to %d are supported", op->head_dim, Q4_MAX_HEAD_DIM);
    if (op->head_dim % q4_kv_traits[m->kv_form].columns)
        return q4_plan_fail(error, "a head has %zu dimensions; keys and values as %s need a multiple of %zu",
                            op->head_dim, q4_kv_traits[m->kv_form].name, q4_kv_traits[m->kv_form].columns);
    if (!q4_mul_size(op->heads, op->head_dim, &columns) || !q4_columns_fit(m, op->source, op->key_col, columns) ||
        !q4_columns_fit(m, op->source, op->value_col, columns))
        return q4_plan_fail(error, "%zu heads of %zu columns do not fit their buffer", op->heads, op->head_dim);
    struct q4_kv_shape *shape = &m->kv_shapes[op->layer];
    if (shape->heads)
        return q4_plan_fail(error, "the layer's keys and values are stored twice");
    *shape = (struct q4_kv_shape){op->heads, op->head_dim};
    return true;
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    if (range.n == 1)
        return op->heads;
    size_t tokens = tokens_a_unit(r, range);
    return (range.n + tokens - 1) / tokens;
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    (void)member;
    for (size_t unit = units.first; unit < units.first + units.n; unit++)
        if (range.n == 1)
            store_head(r, op, range.first, unit);
        else
            store_tokens(r, op, range, unit);
}

const struct q4_op_class q4_op_kv_store = {
    .name = "kv_store",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, source),
                                        Q4_FIELD(SIZE, key_col),
                                        Q4_FIELD(SIZE, value_col),
                                        Q4_FIELD(SIZE, heads),
                                        Q4_FIELD(SIZE, head_dim),
                                        {0}},
    .check = check,
    .units = units,
    .work = work,
};
