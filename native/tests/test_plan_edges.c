// Plans written by hand where test_plan.c draws none: what is fused wherever it is allowed gives the bits of every
// operation on its own, and what no order of the work could give one meaning is refused.
#include "test.h"

#include "../build.h"
#include "../session.h"

#include <math.h>
#include <stdlib.h>

enum { DIM = 64, HEAD = 16, HEADS = 4, KV_HEADS = 2, KV = KV_HEADS * HEAD, VOCABULARY = 8, TOKENS = 200, MOST = 32 };
enum { RESIDUAL, NORMED, QKV, ATTENDED, GATE_UP, ACTIVATED, SECOND, LOGITS, BUFFERS };
enum { TO_QKV, TO_GATE_UP, TO_DIM, TO_LOGITS, WEIGHTS };
// Places in the plan.
enum { NORM = 1, QUANTIZE, PRODUCT, ROPE, STORE, ATTENTION, GATE_UP_PRODUCT = 11, ACTIVATE, QUANTIZE_ACTIVATED, DOWN };

static const size_t widths[BUFFERS] = {DIM, DIM, DIM + 2 * KV, DIM, 2 * DIM, DIM, DIM, VOCABULARY};
static const size_t weight_rows[WEIGHTS] = {DIM + 2 * KV, 2 * DIM, DIM, VOCABULARY};

struct parts {
    uint8_t rows[WEIGHTS][(DIM + 2 * KV) * DIM * 2];
    float embedding[VOCABULARY * DIM], norm[DIM];
    struct q4_source sources[WEIGHTS];
    struct q4_weight_spec weights[WEIGHTS];
    struct q4_table_spec table;
    struct q4_vector_spec vector;
    struct q4_rope_spec rope;
    struct q4_op plan[MOST];
    struct q4_model_spec spec;
};

static struct q4_op *add(struct parts *p, enum q4_op_kind kind, int source, int out) {
    struct q4_op *op = &p->plan[p->spec.n_ops++];
    *op = (struct q4_op){.kind = kind, .source = source, .out = out, .bias = Q4_NONE, .width = DIM, .count = 1};
    op->scale = kind == Q4_OP_ATTENTION ? 0.25f : 1.0f;
    op->eps = 1e-5f;
    op->head_dim = HEAD;
    op->heads = kind == Q4_OP_ROPE ? HEADS + KV_HEADS : kind == Q4_OP_KV_STORE ? KV_HEADS : HEADS;
    op->kv_heads = KV_HEADS;
    op->key_col = DIM;
    op->value_col = DIM + KV;
    snprintf(op->name, sizeof op->name, "operation %zu", p->spec.n_ops - 1);
    return op;
}

static void add_product(struct parts *p, int source, int out, int weight, bool sum) {
    struct q4_op *op = add(p, Q4_OP_MATMUL, source, out);
    op->weight = weight;
    op->add = sum;
}

static void add_normed(struct parts *p, int out, int weight) {
    add(p, Q4_OP_RMS_NORM, RESIDUAL, NORMED);
    add(p, Q4_OP_QUANTIZE, NORMED, Q4_NONE);
    add_product(p, NORMED, out, weight, false);
}

static void add_activated(struct parts *p, int out) {
    add(p, Q4_OP_SWIGLU, GATE_UP, out);
    add(p, Q4_OP_QUANTIZE, out, Q4_NONE);
}

static struct parts *new_parts(void) {
    struct rng r = {1};
    struct parts *p = calloc(1, sizeof *p);
    if (p == NULL)
        exit(2);
    const struct q4_type *type = base_type(Q4_TYPE_Q8_0);
    for (int i = 0; i < WEIGHTS; i++) {
        plain_rows(&r, type, p->rows[i], weight_rows[i], DIM);
        p->sources[i] = (struct q4_source){p->rows[i], weight_rows[i], weight_rows[i] * q4_row_bytes(type, DIM)};
        p->weights[i] = (struct q4_weight_spec){"w", type->number, DIM, 0, {&p->sources[i], 1}};
    }
    for (size_t i = 0; i < VOCABULARY * DIM; i++)
        p->embedding[i] = rng_float(&r, 1.0f);
    for (size_t i = 0; i < DIM; i++)
        p->norm[i] = 1.0f;
    p->table = (struct q4_table_spec){(uint8_t *)p->embedding, sizeof p->embedding, Q4_TYPE_F32, VOCABULARY, DIM};
    p->vector = (struct q4_vector_spec){p->norm, DIM};
    p->rope = (struct q4_rope_spec){.dim = HEAD, .base = 10000.0, .magnitude = 1.0};
    p->spec = (struct q4_model_spec){.n_threads = 2, .n_layers = 1, .features = getenv("Q4_CPU_FEATURES")};
    p->spec.tables = &p->table, p->spec.vectors = &p->vector, p->spec.rope_tables = &p->rope;
    p->spec.weights = p->weights, p->spec.buffers = widths, p->spec.plan = p->plan;
    p->spec.n_tables = p->spec.n_vectors = p->spec.n_rope_tables = 1;
    p->spec.n_weights = WEIGHTS, p->spec.n_buffers = BUFFERS;
    add(p, Q4_OP_EMBED, Q4_NONE, RESIDUAL);
    add_normed(p, QKV, TO_QKV);
    add(p, Q4_OP_ROPE, QKV, Q4_NONE);
    add(p, Q4_OP_KV_STORE, QKV, Q4_NONE);
    add(p, Q4_OP_ATTENTION, QKV, ATTENDED);
    add(p, Q4_OP_QUANTIZE, ATTENDED, Q4_NONE);
    add_product(p, ATTENDED, RESIDUAL, TO_DIM, true);
    add_normed(p, GATE_UP, TO_GATE_UP);
    add_activated(p, ACTIVATED);
    add_product(p, ACTIVATED, RESIDUAL, TO_DIM, true);
    add_normed(p, LOGITS, TO_LOGITS);
    return p;
}

// ---- the same bits ------------------------------------------------------------------------------

static void as_it_is(struct parts *p) { (void)p; }

// Windows around the sizes of a block (64) and so long that nothing leaves them.
static void window_of_one(struct parts *p) { p->plan[ATTENTION].window = 1; }
static void window_of_a_block(struct parts *p) { p->plan[ATTENTION].window = 64; }
static void window_of_everything(struct parts *p) { p->plan[ATTENTION].window = SIZE_MAX; }

// A value is a query that another KV head's unit would turn.
static void values_among_queries(struct parts *p) { p->plan[STORE].value_col = (size_t)2 * HEAD; }

// Heads of RoPE that are none of the store's, and queries that the KV heads cannot share.
static void rope_of_other_heads(struct parts *p) {
    p->plan[ROPE].heads = DIM / 8 + KV_HEADS, p->plan[ROPE].head_dim = p->rope.dim = 8;
}
static void rope_of_some_queries(struct parts *p) {
    p->plan[ROPE].heads = HEADS - 1 + KV_HEADS, p->plan[ROPE].source_col = HEAD;
}

// Neighbours that do not serve the same tokens.
static void last_from(struct parts *p, size_t first) {
    for (size_t i = first; i < p->spec.n_ops; i++)
        p->plan[i].last = true;
}
static void last_behind_attention(struct parts *p) { last_from(p, ATTENTION + 1); }
static void last_behind_gate_up(struct parts *p) { last_from(p, ACTIVATE); }
static void last_behind_activation(struct parts *p) { last_from(p, QUANTIZE_ACTIVATED); }

// What comes out of one fused gate and up goes into the next.
static void two_gate_ups_in_a_row(struct parts *p) {
    p->spec.n_ops = DOWN;
    add_product(p, ACTIVATED, GATE_UP, TO_GATE_UP, false);
    add_activated(p, SECOND);
    add_product(p, SECOND, RESIDUAL, TO_DIM, true);
    add_normed(p, LOGITS, TO_LOGITS);
}

// The floats that a fused gate and up would not store.
static void activated_floats_are_read(struct parts *p) {
    p->spec.n_ops = DOWN;
    add_product(p, ACTIVATED, RESIDUAL, TO_DIM, true);
    add(p, Q4_OP_RMS_NORM, ACTIVATED, NORMED);
    add(p, Q4_OP_QUANTIZE, NORMED, Q4_NONE);
    add_product(p, NORMED, LOGITS, TO_LOGITS, false);
}

static void gate_up_floats_are_read(struct parts *p) {
    p->spec.n_ops = DOWN;
    add_product(p, ACTIVATED, RESIDUAL, TO_DIM, true);
    add(p, Q4_OP_RMS_NORM, GATE_UP, NORMED)->source_col = DIM;
    add(p, Q4_OP_QUANTIZE, NORMED, Q4_NONE);
    add_product(p, NORMED, LOGITS, TO_LOGITS, false);
}

static const struct {
    const char *name;
    void (*edit)(struct parts *p);
} right[] = {
    {"as it is", as_it_is},
    {"a window of one", window_of_one},
    {"a window of a block", window_of_a_block},
    {"a window of everything", window_of_everything},
    {"values among queries", values_among_queries},
    {"RoPE of other heads", rope_of_other_heads},
    {"RoPE of some queries", rope_of_some_queries},
    {"last behind attention", last_behind_attention},
    {"last behind gate and up", last_behind_gate_up},
    {"last behind the activation", last_behind_activation},
    {"two gate-ups in a row", two_gate_ups_in_a_row},
    {"activated floats are read", activated_floats_are_read},
    {"gate-up floats are read", gate_up_floats_are_read},
};

// Logits of all tokens, or of the last one of each call alone.
static bool run(const struct parts *p, bool unfused, size_t batch, bool all, float *logits, char *what, size_t size) {
    struct q4_model_spec spec = p->spec;
    struct q4_model model;
    struct q4_session session;
    char error[Q4_ERROR_SIZE] = "";
    int32_t tokens[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = i * 5 % VOCABULARY;
    spec.unfused = unfused;
    bool ok = q4_model_build(&model, &spec, error);
    if (ok && (ok = q4_session_init(&session, &model, TOKENS, batch, error))) {
        for (size_t at = 0, n; ok && at < TOKENS; at += n) {
            n = q4_min_size(batch, TOKENS - at);
            struct q4_call call = {.tokens = tokens + at, .n_tokens = n, .n_past = at, .all_logits = all};
            call.logits = logits + (all ? at : at + n - 1) * VOCABULARY;
            ok = q4_session_decode(&session, &call, error);
        }
        q4_session_clear(&session);
    }
    q4_model_clear(&model);
    if (!ok)
        snprintf(what, size, "%s", error);
    return ok;
}

static bool same_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)r, (void)subject;
    static const size_t batches[] = {1, 7, 193, TOKENS};
    static float expected[TOKENS * VOCABULARY], got[TOKENS * VOCABULARY];
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof right / sizeof *right; i++) {
        struct parts *p = new_parts();
        right[i].edit(p);
        ok = run(p, true, 1, true, expected, what, size);
        for (size_t b = 0; ok && b < 2 * sizeof batches / sizeof *batches; b++) {
            bool all = b % 2;
            size_t batch = batches[b / 2];
            memcpy(got, expected, sizeof got); // what a call leaves out stays
            int n = snprintf(what, size, "%s, batches of %zu%s", right[i].name, batch, all ? ", all logits" : "");
            ok = run(p, false, batch, all, got, what + n, size - (size_t)n) &&
                 same_bits(got, expected, TOKENS * VOCABULARY, sizeof *got, what, size);
        }
        free(p);
    }
    return ok;
}

// ---- refused ------------------------------------------------------------------------------------

static void store_of_last(struct parts *p) { p->plan[STORE].last = true; }
static void many_kv_heads(struct parts *p) {
    static size_t wide[BUFFERS];
    memcpy(wide, widths, sizeof wide);
    wide[SECOND] = Q4_MAX_UNITS;
    p->spec.buffers = wide;
    struct q4_op *store = &p->plan[STORE];
    store->source = SECOND, store->heads = Q4_MAX_UNITS, store->head_dim = 1, store->key_col = store->value_col = 0;
}
static void norm_onto_itself_but_moved(struct parts *p) {
    struct q4_op *norm = &p->plan[NORM];
    norm->source = norm->out = QKV, norm->out_col = HEAD;
}
static void product_onto_its_source(struct parts *p) { p->plan[DOWN].out = ACTIVATED; }
static void nothing_quantised(struct parts *p) { p->plan[QUANTIZE_ACTIVATED].source = ATTENDED; }
static void quantised_of_old_floats(struct parts *p) {
    p->plan[QUANTIZE_ACTIVATED].source = RESIDUAL;
    p->plan[DOWN].source = RESIDUAL;
    p->plan[DOWN].out = ACTIVATED;
    p->plan[DOWN + 1] = p->plan[ACTIVATE];
    p->plan[DOWN + 1].out = RESIDUAL;
    p->plan[DOWN + 2] = p->plan[DOWN];
    snprintf(p->plan[DOWN + 2].name, Q4_NAME_SIZE, "again");
}
static void nothing_written(struct parts *p) { p->plan[NORM].source = SECOND; }
static void all_after_last(struct parts *p) { p->plan[NORM].last = true; }
static void last_in_between(struct parts *p) { p->plan[DOWN].last = true; }
static void norm_added_to_its_own_input(struct parts *p) {
    p->plan[NORM].source = p->plan[NORM].out = RESIDUAL, p->plan[NORM].add = true;
}
static void norm_added_to_nothing(struct parts *p) { p->plan[NORM].add = true; }
static void product_of_no_scale(struct parts *p) { p->plan[PRODUCT].scale = 0.0f; }
static void capped_in_between(struct parts *p) { p->plan[PRODUCT].logit_cap = 30.0f; }
static void capped_at_infinity(struct parts *p) { p->plan[p->spec.n_ops - 1].logit_cap = INFINITY; }
static void scores_capped_below_zero(struct parts *p) { p->plan[ATTENTION].logit_cap = -1.0f; }
static void layer_norm_of_other_columns(struct parts *p) {
    p->plan[NORM].kind = Q4_OP_LAYER_NORM, p->plan[NORM].out = QKV;
}
static void layer_norm_of_no_epsilon(struct parts *p) { p->plan[NORM].kind = Q4_OP_LAYER_NORM, p->plan[NORM].eps = 0; }
static void clamped_to_nothing(struct parts *p) { p->plan[ROPE].kind = Q4_OP_CLAMP; }
static void clamped_columns_that_are_not_there(struct parts *p) {
    p->plan[ROPE].kind = Q4_OP_CLAMP, p->plan[ROPE].limit = 1.0f, p->plan[ROPE].source_col = DIM + 2 * KV;
}
static void rope_of_no_magnitude(struct parts *p) { p->rope.magnitude = 0.0; }
static void rope_with_one_factor(struct parts *p) { p->rope.far = (struct q4_vector_spec){p->norm, 1}; }
static void sum_onto_nothing(struct parts *p) { p->plan[PRODUCT].add = true; }
static void attention_first(struct parts *p) {
    struct q4_op store = p->plan[STORE];
    p->plan[STORE] = p->plan[ATTENTION];
    p->plan[ATTENTION] = store;
}
static void scales_of_half_a_head(struct parts *p) { p->spec.kv_form = "q8_0"; }
static void form_of_another_name(struct parts *p) { p->spec.kv_form = "q8"; }
static void two_stores(struct parts *p) { p->plan[ATTENTION] = p->plan[STORE]; }
static void no_operations(struct parts *p) {
    p->spec.n_ops = 0;
    p->spec.plan = NULL;
}

static const struct {
    void (*edit)(struct parts *p);
    const char *message; // a part of it
} wrong[] = {
    {store_of_last, "operation 5: the KV cache keeps every token"},
    {many_kv_heads, "operation 5: 4194304 KV heads"},
    {norm_onto_itself_but_moved, "operation 1: columns that are read and written overlap"},
    {product_onto_its_source, "operation 14: a product cannot replace its own input"},
    {nothing_quantised, "operation 14: buffer 5 is not quantised for all tokens"},
    {quantised_of_old_floats, "again: buffer 0 is not quantised for all tokens"},
    {nothing_written, "operation 1: buffer 6 is not written for all tokens"},
    {all_after_last, "operation 2: buffer 1 is not written for all tokens"},
    {last_in_between, "operation 15: buffer 0 is not written for all tokens"},
    {norm_added_to_its_own_input, "operation 1: a norm cannot be added to its own input"},
    {norm_added_to_nothing, "operation 1: buffer 1 is not written for all tokens"},
    {product_of_no_scale, "operation 3: a product scaled by 0"},
    {capped_in_between, "operation 3: a product capped at 30; only the logits are"},
    {capped_at_infinity, "a product capped at inf"},
    {scores_capped_below_zero, "operation 6: scores capped at -1"},
    {layer_norm_of_other_columns, "operation 1: a norm of 64 columns does not fit a buffer of 128"},
    {layer_norm_of_no_epsilon, "operation 1: LayerNorm with epsilon 0"},
    {clamped_to_nothing, "operation 4: values clamped to 0"},
    {clamped_columns_that_are_not_there, "operation 4: 64 columns do not fit their buffer"},
    {rope_of_no_magnitude, "RoPE with cosines times 0"},
    {rope_with_one_factor, "RoPE needs one factor a pair"},
    {sum_onto_nothing, "operation 3: buffer 2 is not written for all tokens"},
    {attention_first, "operation 6: no operation before it stores 2 KV heads of 16 columns"},
    {scales_of_half_a_head, "operation 5: a head has 16 dimensions; keys and values as q8_0 need a multiple of 32"},
    {form_of_another_name, "keys and values have no form of that name"},
    {two_stores, "stored twice"},
    {no_operations, "a plan ends with"},
};

static bool refused_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)r, (void)subject;
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof wrong / sizeof *wrong; i++) {
        struct parts *p = new_parts();
        struct q4_model model;
        char error[Q4_ERROR_SIZE] = "";
        wrong[i].edit(p);
        ok = !q4_model_build(&model, &p->spec, error) && strstr(error, wrong[i].message);
        q4_model_clear(&model);
        if (!ok)
            snprintf(what, size, "expected '%s', got '%s'", wrong[i].message, error);
        free(p);
    }
    return ok;
}

// So long a context that one token's attention would have more units than the team can hand out.
static bool context_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)r, (void)subject;
    struct parts *p = new_parts();
    struct q4_model model;
    struct q4_session session;
    char error[Q4_ERROR_SIZE] = "";
    struct q4_op *store = &p->plan[STORE], *attention = &p->plan[ATTENTION];
    p->plan[ROPE].heads = (DIM + KV) / 2, p->plan[ROPE].head_dim = 2, p->rope.dim = 2;
    store->heads = attention->kv_heads = KV / 2, attention->heads = DIM / 2;
    store->head_dim = attention->head_dim = 2;
    bool ok = q4_model_build(&model, &p->spec, error) && !q4_session_init(&session, &model, Q4_MAX_CONTEXT, 1, error) &&
              strstr(error, "a context of 268435456 tokens; fewer than 134217217 are supported with 16 KV heads");
    q4_model_clear(&model);
    if (!ok)
        snprintf(what, size, "got '%s'", error);
    free(p);
    return ok;
}

void test_plan_edges(void) {
    size_t cases = options.cases;
    options.cases = 1; // nothing of it is random
    run_cases("plan_fused_by_hand", same_case, NULL);
    run_cases("plan_refused", refused_case, NULL);
    run_cases("plan_context", context_case, NULL);
    options.cases = cases;
}
