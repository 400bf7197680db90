// Random models, built from C alone: however their operations are fused, cut and batched, the logits are the same bits
// as those of a plan that walks every operation on its own, on one thread, a token at a time, in portable C.
#include "test.h"

#include "../build.h"
#include "../session.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_WEIGHTS 32
#define MOST_OPS 64
#define MOST_BUFFERS 16
#define MOST_VECTORS 48

// A random decoder: the sizes, and the parts of its spec in memory of its own.
struct decoder {
    size_t dim, heads, kv_heads, head_dim, ffn, vocabulary, layers;
    bool bias, qk_norm, post_norm; // post_norm: what is added to the residual is normed first
    size_t window;                 // of layer 0; 0: none
    float scale, cap;              // of what is added to the residual, and of embedding and logits; of scores, logits
    int activation;
    bool wide;        // wide: all widths are multiples of 256, so that K-quants fit
    size_t last_from; // the layer whose attention and what follows serve the last token alone
    struct q4_table_spec table;
    struct q4_vector_spec vectors[MOST_VECTORS];
    struct q4_rope_spec rope_tables[2];
    struct q4_weight_spec weights[MOST_WEIGHTS];
    struct q4_source sources[MOST_WEIGHTS][3];
    size_t buffers[MOST_BUFFERS];
    struct q4_op plan[MOST_OPS];
    struct q4_model_spec spec;
    bool last;
    int layer;
};

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

// One weight of one to three tensors of a type, or none where a type would not fit.
static int new_weight(struct decoder *d, struct rng *r, int type, size_t columns, const size_t *rows, size_t n) {
    size_t at = d->spec.n_weights++;
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        const uint8_t *data = new_rows(r, type, rows[i], columns, &bytes);
        d->sources[at][i] = (struct q4_source){.data = data, .rows = rows[i], .bytes = bytes};
    }
    d->weights[at] = (struct q4_weight_spec){"w", type, columns, {d->sources[at], n}};
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
        op->weight = new_weight(d, r, random_type(r, columns), columns, rows + i, parts);
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
    add_norm(d, r, residual, 0, normed, d->dim, 1);
    new_op(d, Q4_OP_QUANTIZE, normed, Q4_NONE);
    add_products(d, r, normed, qkv, (size_t[]){q, kv, kv}, 3, d->bias, false);
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
    add_norm(d, r, residual, 0, normed, d->dim, 1);
    new_op(d, Q4_OP_QUANTIZE, normed, Q4_NONE);
    add_products(d, r, normed, gate_up, (size_t[]){d->ffn, d->ffn}, 2, false, false);
    new_op(d, Q4_OP_SWIGLU, gate_up, activated)->activation = d->activation;
    new_op(d, Q4_OP_QUANTIZE, activated, Q4_NONE);
    add_to_residual(d, r, activated, normed, residual);
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
    d->window = rng_next(r) & 1 ? rng_range(r, 1, rng_next(r) & 1 ? 40 : 600) : 0;
    d->scale = rng_next(r) % 3 ? 1.0f : 0.25f;
    d->cap = rng_next(r) % 3 ? 0.0f : 20.0f;
    d->activation = (int)(rng_next(r) % Q4_ACTIVATIONS);
}

static void make_decoder(struct decoder *d, struct rng *r) {
    *d = (struct decoder){.layer = Q4_NONE};
    choose_sizes(d, r);
    size_t q = d->heads * d->head_dim, kv = d->kv_heads * d->head_dim;
    int residual = new_buffer(d, d->dim), normed = new_buffer(d, d->dim), qkv = new_buffer(d, q + 2 * kv);
    int attended = new_buffer(d, q), gate_up = new_buffer(d, 2 * d->ffn), activated = new_buffer(d, d->ffn);
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
        add_feed_forward(d, r, residual, normed, gate_up, activated);
    }
    d->layer = Q4_NONE;
    add_norm(d, r, residual, 0, normed, d->dim, 1);
    new_op(d, Q4_OP_QUANTIZE, normed, Q4_NONE);
    struct q4_op *last = new_op(d, Q4_OP_MATMUL, normed, logits);
    last->weight = new_weight(d, r, random_type(r, d->dim), d->dim, (size_t[]){d->vocabulary}, 1);
    last->bias = Q4_NONE;
    last->scale = d->scale;
    last->logit_cap = d->cap;
    d->spec.n_layers = d->layers;
    d->spec.tables = &d->table;
    d->spec.n_tables = 1;
    d->spec.vectors = d->vectors;
    d->spec.rope_tables = d->rope_tables;
    d->spec.n_rope_tables = 2;
    d->spec.weights = d->weights;
    d->spec.buffers = d->buffers;
    d->spec.plan = d->plan;
}

static void free_decoder(struct decoder *d) {
    for (size_t i = 0; i < d->spec.n_vectors; i++)
        free((void *)(uintptr_t)d->vectors[i].data);
    for (size_t i = 0; i < d->spec.n_weights; i++)
        for (size_t j = 0; j < d->weights[i].sources.n; j++)
            free((void *)(uintptr_t)d->sources[i][j].data);
    free((void *)(uintptr_t)d->table.data);
}

// ---- one case -----------------------------------------------------------------------------------

struct text {
    int32_t tokens[600];
    size_t n, n_ctx;
    float *logits; // of the reference: [n][vocabulary]
};

// Logits of the whole text in calls of random lengths up to `most`; of each call's last token alone unless `all`.
static bool run_text(const struct decoder *d, const struct q4_model *model, const struct text *text, struct rng *r,
                     size_t most, bool all, float *logits, char *error) {
    struct q4_session session;
    if (!q4_session_init(&session, model, text->n_ctx, most, error))
        return false;
    bool ok = true;
    for (size_t at = 0, n; ok && at < text->n; at += n) {
        n = q4_min_size(rng_range(r, 1, most), text->n - at);
        struct q4_call call = {.tokens = text->tokens + at, .n_tokens = n, .n_past = at, .all_logits = all};
        call.logits = logits + (all ? at : at + n - 1) * d->vocabulary;
        ok = q4_session_decode(&session, &call, error);
    }
    q4_session_clear(&session);
    return ok;
}

static bool compare_variant(const struct decoder *d, const struct text *text, struct rng *r, char *what, size_t size) {
    struct q4_model_spec spec = d->spec;
    struct q4_model model;
    char error[Q4_ERROR_SIZE] = "";
    const char *given = getenv("Q4_CPU_FEATURES");
    spec.features = rng_next(r) % 3 ? given : "none";
    spec.n_threads = (int)rng_range(r, 1, 4);
    spec.unfused = rng_next(r) % 4 == 0;
    size_t most = rng_range(r, 1, rng_next(r) & 1 ? 8 : 260), n = text->n * d->vocabulary;
    bool all = rng_next(r) & 1;
    size_t used = strlen(what);
    snprintf(what + used, size - used, "; features %s, %d threads, %s, batches up to %zu%s",
             spec.features ? spec.features : "all", spec.n_threads, spec.unfused ? "unfused" : "fused", most,
             all ? ", all logits" : "");
    float *logits = malloc(n * sizeof *logits);
    if (logits == NULL)
        exit(2);
    memcpy(logits, text->logits, n * sizeof *logits); // what a call leaves out stays
    bool ok = q4_model_build(&model, &spec, error);
    if (ok) {
        ok = run_text(d, &model, text, r, most, all, logits, error);
        q4_model_clear(&model);
    }
    used = strlen(what);
    if (!ok)
        snprintf(what + used, size - used, ": %s", error);
    ok = ok && same_bits(logits, text->logits, n, sizeof *logits, what, size);
    free(logits);
    if (ok)
        what[used - (used - strcspn(what, ";"))] = '\0'; // the next variant describes itself
    return ok;
}

static bool plan_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)subject;
    struct decoder d;
    make_decoder(&d, r);
    struct text text = {.n = rng_range(r, 1, rng_next(r) % 16 ? 40 : 560)};
    text.n_ctx = text.n + rng_range(r, 0, 70);
    for (size_t i = 0; i < text.n; i++)
        text.tokens[i] = (int32_t)rng_range(r, 0, d.vocabulary - 1);
    text.logits = calloc(text.n * d.vocabulary, sizeof *text.logits);
    snprintf(what, size,
             "dim %zu, %zu of %zu heads of %zu, ffn %zu, %zu layers%s%s%s, window %zu, cap %g, scale %g, %zu tokens",
             d.dim, d.kv_heads, d.heads, d.head_dim, d.ffn, d.layers, d.bias ? ", bias" : "",
             d.qk_norm ? ", QK norm" : "", d.post_norm ? ", post norm" : "", d.window, (double)d.cap, (double)d.scale,
             text.n);
    struct q4_model reference;
    struct q4_model_spec plain = d.spec;
    char error[Q4_ERROR_SIZE] = "";
    plain.features = "none";
    plain.n_threads = 1;
    plain.unfused = true;
    bool ok = text.logits && q4_model_build(&reference, &plain, error);
    if (ok) {
        ok = run_text(&d, &reference, &text, r, 1, true, text.logits, error);
        q4_model_clear(&reference);
    }
    if (!ok) {
        size_t used = strlen(what);
        snprintf(what + used, size - used, ": the reference: %s", error);
    }
    for (int i = 0; ok && i < 3; i++)
        ok = compare_variant(&d, &text, r, what, size);
    free(text.logits);
    free_decoder(&d);
    return ok;
}

void test_plan(void) {
    size_t cases = options.cases;
    options.cases = (cases + 2) / 3; // each is a reference and three variants
    run_cases("plan", plan_case, NULL);
    options.cases = cases;
}
