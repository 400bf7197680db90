#include "session.h"

#include "memory.h"

#include <stdio.h>
#include <stdlib.h>

// Carves aligned pieces out of one allocation: run once with base NULL to learn the size, then again to place them.
struct carver {
    uint8_t *base;
    size_t used;
    bool overflow;
};

static void *carve(struct carver *c, size_t count, size_t size) {
    size_t bytes, at = q4_round_up(c->used + Q4_GAP, 64);
    if (!q4_mul_size(count, size, &bytes) || __builtin_add_overflow(at, bytes, &c->used) || c->used > SIZE_MAX / 4) {
        c->overflow = true;
        c->used = 0;
    }
    if (c->base == NULL)
        return NULL;
    q4_open(c->base + at, bytes);
    return c->base + at;
}

static void carve_buffer(struct carver *c, const struct q4_buffer *b, struct q4_buffer_data *data, size_t n_batch) {
    data->x = carve(c, n_batch, b->width * sizeof(float));
    for (int f = 0; f < Q4_ACT_FORMS; f++) {
        size_t block = q4_act_traits[f].block;
        if (!b->forms[f] || block == 0)
            continue;
        data->q[f] = carve(c, n_batch, b->width);
        data->d[f] = carve(c, n_batch, b->width / block * sizeof(float));
        if (q4_act_traits[f].sums)
            data->sum[f] = carve(c, n_batch, b->width / block * sizeof(int32_t));
    }
    for (size_t i = 0; i < b->n_packings; i++) {
        const struct q4_act_packing *p = b->packings[i];
        data->packed[i] = carve(c, (n_batch + p->tile - 1) / p->tile, p->bytes(b->width));
    }
}

// A thread's scratch: the most that any operation wants, however it is carried out.
static size_t thread_scratch(const struct q4_model *m, size_t n_batch) {
    size_t most = 0;
    for (size_t i = 0; i < m->n_ops; i++) {
        const struct q4_op *op = &m->plan[i];
        const struct q4_op_class *classes[2] = {op->few.class, op->many.class};
        for (int j = 0; j < 2; j++) {
            size_t bytes = classes[j] && classes[j]->scratch ? classes[j]->scratch(m, op, n_batch) : 0;
            most = bytes > most ? bytes : most;
        }
    }
    return q4_round_up(most, 64);
}

struct widest { // of all attention in the plan
    size_t heads, kv_heads, columns;
};

static struct widest widest_attention(const struct q4_model *m) {
    struct widest w = {0};
    for (size_t i = 0; i < m->n_ops; i++) {
        const struct q4_op *op = &m->plan[i];
        if (op->kind != Q4_OP_ATTENTION)
            continue;
        w.heads = op->heads > w.heads ? op->heads : w.heads;
        w.kv_heads = op->kv_heads > w.kv_heads ? op->kv_heads : w.kv_heads;
        w.columns = op->heads * op->head_dim > w.columns ? op->heads * op->head_dim : w.columns;
    }
    return w;
}

static void carve_all(struct carver *c, struct q4_session *s) {
    const struct q4_model *m = s->model;
    for (size_t i = 0; i < m->n_buffers; i++)
        if ((int)i != m->plan[m->n_ops - 1].out) // logits go straight to the caller
            carve_buffer(c, &m->buffers[i], &s->buffers[i], s->n_batch);
    for (size_t i = 0; i < m->n_rope_tables; i++)
        s->cos_sin[i] = carve(c, s->n_batch, m->rope_tables[i].dim * sizeof(float));
    struct widest w = widest_attention(m);
    s->span_acc = carve(c, s->n_spans, w.columns * sizeof(float));
    s->span_states = carve(c, s->n_spans, w.heads * sizeof(q4_attn_state));
    s->span_done = carve(c, w.kv_heads, sizeof *s->span_done);
    s->tallies = carve(c, m->n_tallies, sizeof *s->tallies);
    s->scratch_bytes = thread_scratch(m, s->n_batch);
    s->scratch = carve(c, (size_t)q4_team_size(m->team), s->scratch_bytes);
}

bool q4_session_init(struct q4_session *s, const struct q4_model *model, size_t n_ctx, size_t n_batch, char *error) {
    *s = (struct q4_session){.model = model, .n_ctx = n_ctx, .n_batch = n_batch};
    if (n_ctx == 0 || n_ctx > Q4_MAX_CONTEXT || n_batch == 0 || n_batch > Q4_MAX_BATCH) {
        snprintf(error, Q4_ERROR_SIZE, "a context of %zu tokens in batches of %zu; at most %zu and %zu", n_ctx, n_batch,
                 Q4_MAX_CONTEXT, Q4_MAX_BATCH);
        return false;
    }
    struct widest w = widest_attention(model);
    size_t heads = w.heads, kv_heads = w.kv_heads, spans = (n_ctx + Q4_KV_SPAN - 1) / Q4_KV_SPAN;
    if (heads && n_batch >= Q4_MAX_UNITS / heads) { // a unit is a token's head at least
        snprintf(error, Q4_ERROR_SIZE, "batches of %zu tokens; fewer than %zu are supported with %zu heads", n_batch,
                 Q4_MAX_UNITS / heads, heads);
        return false;
    }
    if (kv_heads && spans >= Q4_MAX_UNITS / kv_heads) { // … or a KV head's span
        snprintf(error, Q4_ERROR_SIZE, "a context of %zu tokens; fewer than %zu are supported with %zu KV heads", n_ctx,
                 (Q4_MAX_UNITS / kv_heads - 1) * Q4_KV_SPAN + 1, kv_heads);
        return false;
    }
    s->buffers = calloc(model->n_buffers, sizeof *s->buffers);
    s->cos_sin = calloc(model->n_rope_tables + 1, sizeof *s->cos_sin);
    s->n_spans = spans;
    struct carver c = {0};
    bool ok = s->buffers && s->cos_sin;
    if (ok)
        carve_all(&c, s);
    s->memory_bytes = c.used;
    s->memory = ok && !c.overflow ? q4_alloc(c.used, Q4_PAGES_SMALL) : NULL;
    if (s->memory == NULL || !q4_kv_cache_init(&s->cache, model, n_ctx)) {
        snprintf(error, Q4_ERROR_SIZE, "no memory for a context of %zu tokens in batches of %zu", n_ctx, n_batch);
        q4_session_clear(s);
        return false;
    }
    q4_close(s->memory, s->memory_bytes);
    c = (struct carver){.base = s->memory};
    carve_all(&c, s);
    return true;
}

void q4_session_clear(struct q4_session *s) {
    q4_kv_cache_clear(&s->cache);
    q4_free(s->memory, s->memory_bytes);
    free(s->buffers);
    free(s->cos_sin);
    q4_recorder_free(s->recorder);
    *s = (struct q4_session){0};
}

size_t q4_session_vocabulary(const struct q4_session *s) {
    const struct q4_op *last = &s->model->plan[s->model->n_ops - 1];
    return s->model->weights[last->weight].rows;
}
