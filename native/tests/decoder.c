// A random decoder: sizes, then its parts, operation by operation.
#include "decoder.h"

#include <stdio.h>
#include <stdlib.h>

// ---- the parts ----------------------------------------------------------------------------------

static int random_type(struct rng *r, size_t columns) {
    size_t n = 0;
    while (q4_types_base[n])
        n++;
    for (;;) {
        const struct q4_type *type = q4_types_base[rng_range(r, 0, n - 1)];
        if (columns % type->columns == 0)
            return type->number;
    }
}

static const uint8_t *new_rows(struct rng *r, int type, size_t rows, size_t columns, size_t *bytes) {
    *bytes = rows * q4_row_bytes(base_type(type), columns);
    uint8_t *data = malloc(*bytes);
    if (data == NULL)
        exit(2);
    plain_rows(r, base_type(type), data, rows, columns);
    return data;
}

static int new_vector(struct decoder *d, struct rng *r, size_t n, float low, float high) {
    float *data = malloc(n * sizeof *data);
    if (data == NULL)
        exit(2);
    for (size_t i = 0; i < n; i++)
        data[i] = low + (rng_float(r, 0.5f) + 0.5f) * (high - low);
    d->vectors[d->spec.n_vectors] = (struct q4_vector_spec){data, n};
    return (int)d->spec.n_vectors++;
}

static int new_buffer(struct decoder *d, size_t width) {
    d->buffers[d->spec.n_buffers] = width;
    return (int)d->spec.n_buffers++;
}

// One weight of one to three tensors of a type.
static int new_weight(struct decoder *d, struct rng *r, int type, size_t columns, const size_t *rows, size_t n,
                      size_t experts) {
    size_t at = d->spec.n_weights++;
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        const uint8_t *data = new_rows(r, type, rows[i], columns, &bytes);
        d->sources[at][i] = (struct q4_source){.data = data, .rows = rows[i], .bytes = bytes};
    }
    d->weights[at] = (struct q4_weight_spec){"w", type, columns, experts, {d->sources[at], n}};
    return (int)at;
}

static struct q4_op *new_op(struct decoder *d, enum q4_op_kind kind, int source, int out) {
    struct q4_op *op = &d->plan[d->spec.n_ops++];
    *op = (struct q4_op){.kind = kind, .layer = d->layer, .last = d->last, .source = source, .out = out};
    snprintf(op->name, sizeof op->name, "operation %zu", d->spec.n_ops - 1);
    return op;
}

// Rows of n products side by side: as one weight, or each with a type of its own.
static void add_products(struct decoder *d, struct rng *r, int source, int out, const size_t *rows, size_t n, bool bias,
                         bool add) {
    size_t columns = d->buffers[source], column = 0;
    bool together = rng_next(r) % 3 != 0;
    for (size_t i = 0; i < n; i += together ? n : 1) {
        struct q4_op *op = new_op(d, Q4_OP_MATMUL, source, out);
        size_t parts = together ? n : 1, all = 0;
        for (size_t j = 0; j < parts; j++)
            all += rows[i + j];
        op->weight = new_weight(d, r, random_type(r, columns), columns, rows + i, parts, 0);
        op->bias = bias ? new_vector(d, r, all, -0.5f, 0.5f) : Q4_NONE;
        op->out_col = column;
        op->add = add;
        op->scale = add ? d->scale : 1.0f;
        column += all;
    }
}

static struct q4_op *add_norm(struct decoder *d, struct rng *r, int source, size_t column, int out, size_t width,
                              size_t count) {
    struct q4_op *op = new_op(d, Q4_OP_RMS_NORM, source, out);
    op->source_col = column;
    op->out_col = source == out ? column : 0;
    op->width = width;
    op->count = count;
    op->eps = 1e-5f;
    op->vector = new_vector(d, r, width, 0.5f, 1.5f);
    return op;
}

// Of a whole row.
static void add_row_norm(struct decoder *d, struct rng *r, int source, int out) {
    if (d->layer_norm)
        new_op(d, Q4_OP_LAYER_NORM, source, out)->eps = 1e-5f;
    else
        add_norm(d, r, source, 0, out, d->dim, 1);
}

// A product that is added to the residual, through a norm where the model has such.
static void add_to_residual(struct decoder *d, struct rng *r, int source, int normed, int residual) {
    int to = d->post_norm ? normed : residual;
    add_products(d, r, source, to, (size_t[]){d->dim}, 1, false, !d->post_norm);
    if (d->post_norm)
        add_norm(d, r, normed, 0, residual, d->dim, 1)->add = true;
}

// ---- the decoder --------------------------------------------------------------------------------

static void add_attention(struct decoder *d, struct rng *r, int residual, int normed, int qkv, int attended) {
    size_t q = d->heads * d->head_dim, kv = d->kv_heads * d->head_dim;
    add_row_norm(d, r, residual, normed);
    new_op(d, Q4_OP_QUANTIZE, normed, Q4_NONE);
    add_products(d, r, normed, qkv, (size_t[]){q, kv, kv}, 3, d->bias, false);
    if (d->clamp) {
        struct q4_op *clamp = new_op(d, Q4_OP_CLAMP, qkv, Q4_NONE);
        clamp->width = q + 2 * kv;
        clamp->limit = 0.5f;
    }
    if (d->qk_norm)
        add_norm(d, r, qkv, 0, qkv, d->head_dim, d->heads + d->kv_heads);
    struct q4_op *rope = new_op(d, Q4_OP_ROPE, qkv, Q4_NONE);
    rope->heads = d->heads + d->kv_heads;
    rope->head_dim = d->head_dim;
    rope->table = d->layer % 2;
    rope->style = (int)(rng_next(r) % Q4_ROPE_STYLES);
    struct q4_op *store = new_op(d, Q4_OP_KV_STORE, qkv, Q4_NONE);
    store->key_col = q;
    store->value_col = q + kv;
    store->heads = d->kv_heads;
    store->head_dim = d->head_dim;
    d->last |= (size_t)d->layer >= d->last_from;
    struct q4_op *attention = new_op(d, Q4_OP_ATTENTION, qkv, attended);
    attention->heads = d->heads;
    attention->kv_heads = d->kv_heads;
    attention->head_dim = d->head_dim;
    attention->scale = 1.0f / __builtin_sqrtf((float)d->head_dim);
    attention->window = d->layer == 0 ? d->window : 0;
    attention->logit_cap = d->cap;
    new_op(d, Q4_OP_QUANTIZE, attended, Q4_NONE);
    add_to_residual(d, r, attended, normed, residual);
}

static void add_feed_forward(struct decoder *d, struct rng *r, int residual, int normed, int gate_up, int activated) {
    add_row_norm(d, r, residual, normed);
    new_op(d, Q4_OP_QUANTIZE, normed, Q4_NONE);
    add_products(d, r, normed, gate_up, (size_t[]){d->ffn, d->ffn}, 2, false, false);
    new_op(d, Q4_OP_SWIGLU, gate_up, activated)->activation = d->activation;
    new_op(d, Q4_OP_QUANTIZE, activated, Q4_NONE);
    add_to_residual(d, r, activated, normed, residual);
}

// Products with the n matrices of each expert: as one weight, or each with a type of its own.
static void add_experts(struct decoder *d, struct rng *r, int source, int routing, int out, size_t columns, size_t rows,
                        size_t n) {
    size_t all[2] = {d->experts * rows, d->experts * rows};
    size_t parts = rng_next(r) & 1 ? n : 1;
    for (size_t i = 0; i < n; i += parts) {
        struct q4_op *op = new_op(d, Q4_OP_EXPERTS, source, out);
        op->routing = routing;
        op->weight = new_weight(d, r, random_type(r, columns), columns, all, parts, d->experts);
        op->out_col = i * d->used * rows;
        op->experts = d->experts;
        op->used = d->used;
    }
}

// The buffers of all mixtures.
struct mixture {
    int scores, routing, gate_up, activated, out, shared_gate_up, shared;
};

static struct mixture new_mixture(struct decoder *d) {
    return (struct mixture){
        .scores = new_buffer(d, d->experts + d->shared),
        .routing = new_buffer(d, 2 * d->used + d->shared),
        .gate_up = new_buffer(d, 2 * d->used * d->ffn),
        .activated = new_buffer(d, d->used * d->ffn),
        .out = new_buffer(d, (d->used + d->shared) * d->dim),
        .shared_gate_up = new_buffer(d, 2 * d->ffn),
        .shared = new_buffer(d, d->ffn),
    };
}

static void add_mixture(struct decoder *d, struct rng *r, int residual, int normed, const struct mixture *b) {
    add_row_norm(d, r, residual, normed);
    new_op(d, Q4_OP_QUANTIZE, normed, Q4_NONE);
    add_products(d, r, normed, b->scores, (size_t[]){d->experts, 1}, 1 + d->shared, false, false);
    struct q4_op *router = new_op(d, Q4_OP_ROUTER, b->scores, b->routing);
    router->experts = d->experts;
    router->used = d->used;
    router->normalised = d->normalised;
    add_experts(d, r, normed, b->routing, b->gate_up, d->dim, d->ffn, 2);
    new_op(d, Q4_OP_SWIGLU, b->gate_up, b->activated)->activation = d->activation;
    new_op(d, Q4_OP_QUANTIZE, b->activated, Q4_NONE);
    add_experts(d, r, b->activated, b->routing, b->out, d->ffn, d->dim, 1);
    if (d->shared) {
        add_products(d, r, normed, b->shared_gate_up, (size_t[]){d->ffn, d->ffn}, 2, false, false);
        new_op(d, Q4_OP_SWIGLU, b->shared_gate_up, b->shared)->activation = d->activation;
        new_op(d, Q4_OP_QUANTIZE, b->shared, Q4_NONE);
        add_products(d, r, b->shared, b->out, (size_t[]){d->dim}, 1, false, false);
        d->plan[d->spec.n_ops - 1].out_col = d->used * d->dim;
    }
    struct q4_op *sum = new_op(d, Q4_OP_EXPERTS_SUM, b->out, residual);
    sum->routing = b->routing;
    sum->used = d->used;
    sum->count = d->used + d->shared;
}

static void choose_experts(struct decoder *d, struct rng *r) {
    if (rng_next(r) % 3)
        return;
    d->experts = rng_range(r, 1, 7);
    d->used = rng_range(r, 1, d->experts);
    d->shared = rng_next(r) & 1;
    d->normalised = rng_next(r) & 1;
    size_t step = d->wide ? Q4_SUPER : Q4_BLOCK;
    d->ffn = step * rng_range(r, 1, d->wide ? 1 : 2);
}

static void choose_sizes(struct decoder *d, struct rng *r) {
    static const size_t dims[] = {8, 16, 32, 64};
    d->wide = rng_next(r) % 3 == 0;
    size_t step = d->wide ? Q4_SUPER : Q4_BLOCK;
    d->dim = step * rng_range(r, 1, d->wide ? 1 : 4);
    d->head_dim = dims[rng_next(r) % 4];
    d->kv_heads = rng_range(r, 1, 3);
    d->heads = d->kv_heads * rng_range(r, 1, 4);
    if (d->wide || d->heads * d->head_dim % step) { // as many columns as a block has, however they are cut
        d->kv_heads = step / d->head_dim >= 2 ? 2 : 1;
        d->heads = step / d->head_dim >= d->kv_heads ? step / d->head_dim : 1;
        d->kv_heads = d->heads == 1 ? 1 : d->kv_heads;
    }
    d->ffn = step * rng_range(r, 1, d->wide ? 2 : 6);
    d->vocabulary = rng_range(r, 3, 80);
    d->layers = rng_range(r, 1, 2);
    d->last_from = rng_range(r, d->layers - 1, d->layers); // a layer behind it needs keys of all tokens
    d->bias = rng_next(r) & 1;
    d->qk_norm = rng_next(r) % 4 == 0;
    d->post_norm = rng_next(r) % 4 == 0;
    d->layer_norm = rng_next(r) % 4 == 0;
    d->clamp = rng_next(r) % 4 == 0;
    d->window = rng_next(r) & 1 ? rng_range(r, 1, rng_next(r) & 1 ? 40 : 600) : 0;
    d->scale = rng_next(r) % 3 ? 1.0f : 0.25f;
    d->cap = rng_next(r) % 3 ? 0.0f : 20.0f;
    d->activation = (int)(rng_next(r) % Q4_ACTIVATIONS);
    choose_experts(d, r);
}

void make_decoder(struct decoder *d, struct rng *r) {
    *d = (struct decoder){.layer = Q4_NONE};
    choose_sizes(d, r);
    size_t q = d->heads * d->head_dim, kv = d->kv_heads * d->head_dim;
    int residual = new_buffer(d, d->dim), normed = new_buffer(d, d->dim), qkv = new_buffer(d, q + 2 * kv);
    int attended = new_buffer(d, q), gate_up = new_buffer(d, 2 * d->ffn), activated = new_buffer(d, d->ffn);
    struct mixture mixture = d->experts ? new_mixture(d) : (struct mixture){0};
    int logits = new_buffer(d, d->vocabulary);
    int type = random_type(r, d->dim);
    d->table = (struct q4_table_spec){.type = type, .rows = d->vocabulary, .columns = d->dim};
    d->table.data = new_rows(r, type, d->vocabulary, d->dim, &d->table.bytes);
    size_t rope_dim = d->head_dim > 8 && rng_next(r) % 3 == 0 ? d->head_dim / 2 : d->head_dim;
    d->rope_tables[0] = (struct q4_rope_spec){.dim = rope_dim, .base = 10000.0, .magnitude = 1.0};
    d->rope_tables[1] = (struct q4_rope_spec){.dim = rope_dim, .base = 500000.0, .magnitude = 1.25, .far_from = 20};
    if (rng_next(r) & 1)
        d->rope_tables[0].factors = d->vectors[new_vector(d, r, rope_dim / 2, 1.0f, 8.0f)];
    if (rng_next(r) & 1)
        d->rope_tables[1].far = d->vectors[new_vector(d, r, rope_dim / 2, 1.0f, 8.0f)];
    new_op(d, Q4_OP_EMBED, Q4_NONE, residual)->scale = d->scale;
    for (d->layer = 0; (size_t)d->layer < d->layers; d->layer++) {
        add_attention(d, r, residual, normed, qkv, attended);
        if (d->experts)
            add_mixture(d, r, residual, normed, &mixture);
        else
            add_feed_forward(d, r, residual, normed, gate_up, activated);
    }
    d->layer = Q4_NONE;
    add_row_norm(d, r, residual, normed);
    new_op(d, Q4_OP_QUANTIZE, normed, Q4_NONE);
    struct q4_op *last = new_op(d, Q4_OP_MATMUL, normed, logits);
    last->weight = new_weight(d, r, random_type(r, d->dim), d->dim, (size_t[]){d->vocabulary}, 1, 0);
    last->bias = Q4_NONE;
    last->scale = d->scale;
    last->logit_cap = d->cap;
    d->spec.n_layers = d->layers;
    d->spec.n_tables = 1;
    d->spec.n_rope_tables = 2;
    point_spec(d);
}

void point_spec(struct decoder *d) {
    d->spec.tables = &d->table;
    d->spec.vectors = d->vectors;
    d->spec.rope_tables = d->rope_tables;
    d->spec.weights = d->weights;
    d->spec.buffers = d->buffers;
    d->spec.plan = d->plan;
    for (size_t i = 0; i < d->spec.n_weights; i++)
        d->weights[i].sources.list = d->sources[i];
}

void free_decoder(struct decoder *d) {
    for (size_t i = 0; i < d->spec.n_vectors; i++)
        free((void *)(uintptr_t)d->vectors[i].data);
    for (size_t i = 0; i < d->spec.n_weights; i++)
        for (size_t j = 0; j < d->weights[i].sources.n; j++)
            free((void *)(uintptr_t)d->sources[i][j].data);
    free((void *)(uintptr_t)d->table.data);
}
