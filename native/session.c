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
    size_t bytes, at = q4_round_up(c->used, 64);
    if (!q4_mul_size(count, size, &bytes) || __builtin_add_overflow(at, bytes, &c->used) || c->used > SIZE_MAX / 4) {
        c->overflow = true;
        c->used = 0;
    }
    return c->base ? c->base + at : NULL;
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

size_t q4_gemm_rows(const struct q4_layout *layout) {
    return layout->rows < 16 ? 16 / layout->rows * layout->rows : layout->rows;
}

// A thread's scratch: the largest that any kernel wants, and room for the rows of one hand-out on their way to be
// added.
static size_t thread_scratch(const struct q4_model *model, size_t n_batch) {
    size_t most = 0;
    for (size_t i = 0; i < model->n_weights; i++) {
        const struct q4_weight *w = &model->weights[i];
        const struct q4_kernel *pair[2] = {w->kernels.gemv, w->kernels.gemm};
        for (int j = 0; j < 2; j++) {
            size_t bytes = pair[j]->scratch ? pair[j]->scratch(w->k) : 0;
            most = bytes > most ? bytes : most;
        }
    }
    size_t rows = n_batch * Q4_MAX_PANEL_ROWS;
    rows = rows < Q4_GEMV_ROWS ? Q4_GEMV_ROWS : rows;
    size_t behind = q4_round_up(rows * sizeof(float), 64), through = q4_round_up(q4_through_scratch(), 64);
    size_t matmul = q4_round_up(most, 64) + (through > behind ? through : behind);
    size_t attention = q4_round_up(q4_attention_scratch(model), 64);
    return attention > matmul ? attention : matmul;
}

static void carve_all(struct carver *c, struct q4_session *s) {
    const struct q4_model *m = s->model;
    for (size_t i = 0; i < m->n_buffers; i++)
        if ((int)i != m->plan[m->n_ops - 1].out) // logits go straight to the caller
            carve_buffer(c, &m->buffers[i], &s->buffers[i], s->n_batch);
    s->cos_sin = carve(c, s->n_batch, m->params.rope_dim * sizeof(float));
    size_t partials = m->params.n_heads * s->n_spans;
    s->span_acc = carve(c, partials, m->params.head_dim * sizeof(float));
    s->span_states = carve(c, partials, sizeof(q4_attn_state));
    s->span_done = carve(c, m->params.n_kv_heads, sizeof *s->span_done);
    s->scratch_bytes = thread_scratch(m, s->n_batch);
    s->scratch = carve(c, (size_t)q4_team_size(m->team), s->scratch_bytes);
}

// The KV cache: whole blocks, so that a kernel may read to the end of one.
static bool allocate_cache(struct q4_session *s) {
    const struct q4_params *p = &s->model->params;
    size_t positions = q4_round_up(s->n_ctx, Q4_KV_BLOCK), total;
    if (!q4_mul_size(positions, p->head_dim, &s->head_stride) ||
        !q4_mul_size(s->head_stride, p->n_kv_heads * p->n_layers, &total) ||
        !q4_mul_size(total, 2 * sizeof(uint16_t), &s->kv_bytes) || s->kv_bytes > SIZE_MAX / 4)
        return false;
    s->keys = q4_alloc(s->kv_bytes, Q4_PAGES_SMALL);
    s->values = s->keys ? s->keys + total : NULL;
    return s->keys != NULL;
}

bool q4_session_init(struct q4_session *s, const struct q4_model *model, size_t n_ctx, size_t n_batch, char *error) {
    *s = (struct q4_session){.model = model, .n_ctx = n_ctx, .n_batch = n_batch};
    if (n_ctx == 0 || n_ctx > Q4_MAX_CONTEXT || n_batch == 0 || n_batch > Q4_MAX_BATCH) {
        snprintf(error, Q4_ERROR_SIZE, "a context of %zu tokens in batches of %zu; at most %zu and %zu", n_ctx, n_batch,
                 Q4_MAX_CONTEXT, Q4_MAX_BATCH);
        return false;
    }
    if (n_batch >= Q4_MAX_UNITS / model->params.n_heads) {
        snprintf(error, Q4_ERROR_SIZE, "batches of %zu tokens; fewer than %zu are supported with %zu heads", n_batch,
                 Q4_MAX_UNITS / model->params.n_heads, model->params.n_heads);
        return false;
    }
    s->buffers = calloc(model->n_buffers, sizeof *s->buffers);
    s->n_spans = (n_ctx + Q4_KV_SPAN - 1) / Q4_KV_SPAN;
    struct carver c = {0};
    if (s->buffers)
        carve_all(&c, s);
    s->memory_bytes = c.used;
    s->memory = s->buffers && !c.overflow ? q4_alloc(c.used, Q4_PAGES_SMALL) : NULL;
    if (s->memory == NULL || !allocate_cache(s)) {
        snprintf(error, Q4_ERROR_SIZE, "no memory for a context of %zu tokens in batches of %zu", n_ctx, n_batch);
        q4_session_clear(s);
        return false;
    }
    c = (struct carver){.base = s->memory};
    carve_all(&c, s);
    return true;
}

void q4_session_clear(struct q4_session *s) {
    q4_free(s->keys, s->kv_bytes);
    q4_free(s->memory, s->memory_bytes);
    free(s->buffers);
    q4_recorder_free(s->recorder);
    *s = (struct q4_session){0};
}

size_t q4_session_vocabulary(const struct q4_session *s) {
    const struct q4_op *last = &s->model->plan[s->model->n_ops - 1];
    return s->model->weights[last->weight].rows;
}
