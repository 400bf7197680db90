// Attention as units of work. A prompt is cut by tokens and KV heads, and each unit walks the cache's spans; a single
// token on a long context is cut by KV heads and spans, and whoever finishes a head's last span merges them. Either way
// spans are attended to apart and merged in position order, so the bits are the same.
#include "run.h"

#include <math.h>
#include <string.h>

// Tokens a unit: they read keys and values once. As many rows (tokens times heads of the group) as the variant wants.
static size_t tile_tokens(const struct q4_model *m, const struct q4_op *op) {
    size_t group = op->heads / op->kv_heads, rows = m->ops->attention_rows;
    return rows / group > m->ops->attention_tokens ? rows / group : m->ops->attention_tokens;
}

struct shape {
    size_t group;  // query heads that share a KV head
    size_t heads;  // query heads a unit takes
    size_t tokens; // tokens a unit takes
    size_t first;  // span that the call's first token sees
    size_t spans;  // from there to the call's last position
    bool by_span;
};

// The first position that a token sees, by its own.
static size_t first_seen(const struct q4_op *op, size_t position) {
    return op->window && position >= op->window ? position + 1 - op->window : 0;
}

static size_t spans_of(size_t n_positions) { return (n_positions + Q4_KV_SPAN - 1) / Q4_KV_SPAN; }

static struct shape shape_of(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    size_t threads = (size_t)q4_team_active(r->m->team);
    struct shape s = {.group = op->heads / op->kv_heads, .tokens = q4_min_size(range.n, tile_tokens(r->m, op))};
    s.first = first_seen(op, r->call->n_past + range.first) / Q4_KV_SPAN;
    s.spans = spans_of(r->call->n_past + range.first + range.n) - s.first;
    s.by_span = range.n == 1 && s.spans > 1;
    size_t units = op->kv_heads * (s.by_span ? s.spans : (range.n + s.tokens - 1) / s.tokens);
    // single heads where too few groups would leave threads without work
    s.heads = s.by_span || units % threads == 0 || units >= 8 * threads ? s.group : 1;
    return s;
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    struct shape s = shape_of(r, op, range);
    size_t columns = op->heads / s.heads;
    return columns * (s.by_span ? s.spans : (range.n + s.tokens - 1) / s.tokens);
}

static q4_attn_args span_args(const struct q4_run *r, const struct q4_op *op, size_t head, size_t span) {
    struct q4_kv_head cached = q4_kv_head(&r->s->cache, op->layer, head / (op->heads / op->kv_heads));
    size_t at = span * (Q4_KV_SPAN / Q4_KV_BLOCK) * q4_kv_block_bytes(r->m->kv_form, op->head_dim);
    return (q4_attn_args){
        .keys = cached.keys + at,
        .values = cached.values + at,
        .head_dim = op->head_dim,
        .q_stride = r->m->buffers[op->source].width,
        .scale = op->scale,
        .window = op->window,
        .logit_cap = op->logit_cap,
    };
}

// ---- a tile of tokens, all its spans ------------------------------------------------------------

static size_t tile_floats(const struct q4_model *m, const struct q4_op *op) {
    return tile_tokens(m, op) * (op->heads / op->kv_heads) * op->head_dim;
}

static size_t scratch(const struct q4_model *m, const struct q4_op *op, size_t n_batch) {
    (void)n_batch;
    size_t rows = tile_tokens(m, op) * (op->heads / op->kv_heads);
    return q4_round_up(tile_floats(m, op) * sizeof(float), 64) + 2 * rows * sizeof(q4_attn_state);
}

struct attended {                     // a tile's tokens
    size_t position, width, q_stride; // of its first token; floats from one token to the next
    const float *q;
    float *out, *later;             // what they have come to, and at one more span
    q4_attn_state *states, *others; // … likewise
};

// A span that is the first one for some tokens …
static void begin_span(const struct q4_kv_ops *kv, struct attended *a, q4_attn_args *args, struct q4_range tokens,
                       size_t start) {
    args->n_tokens = tokens.n;
    args->n_positions = a->position + tokens.first + 1 - start;
    args->acc_stride = a->width;
    if (tokens.n)
        kv->attention(a->out + tokens.first * a->width, a->states + tokens.first * args->n_heads,
                      a->q + tokens.first * a->q_stride, args);
}

// … and one that joins what they have seen.
static void join_span(const struct q4_ops *ops, const struct q4_kv_ops *kv, struct attended *a, q4_attn_args *args,
                      struct q4_range tokens, size_t start) {
    size_t dim = args->head_dim, heads = args->n_heads;
    args->n_tokens = tokens.n;
    args->n_positions = a->position + tokens.first + 1 - start;
    args->acc_stride = heads * dim;
    if (tokens.n)
        kv->attention(a->later, a->others, a->q + tokens.first * a->q_stride, args);
    for (size_t i = 0; i < tokens.n * heads; i++)
        ops->attention_merge(a->out + (tokens.first + i / heads) * a->width + i % heads * dim,
                             &a->states[tokens.first * heads + i], a->later + i * dim, a->others[i], dim);
}

static void attend_tile(struct q4_run *r, const struct q4_op *op, struct q4_range tile, size_t head, size_t heads,
                        int member) {
    const struct q4_ops *ops = r->m->ops;
    const struct q4_kv_ops *kv = &ops->kv[r->m->kv_form];
    struct attended a = {.width = r->m->buffers[op->out].width, .q_stride = r->m->buffers[op->source].width};
    a.later = (float *)q4_scratch(r, member);
    a.states = (q4_attn_state *)(a.later + q4_round_up(tile_floats(r->m, op), 16));
    a.others = a.states + tile.n * heads;
    a.position = r->call->n_past + tile.first;
    a.out = q4_row(r, op->out, tile.first) + head * op->head_dim;
    a.q = q4_row(r, op->source, tile.first) + op->source_col + head * op->head_dim;
    size_t end = a.position + tile.n;
    for (size_t span = first_seen(op, a.position) / Q4_KV_SPAN; span < spans_of(end); span++) {
        // tokens that lie before the span, that saw one before it too, and whose windows have not left it
        size_t start = span * Q4_KV_SPAN, skip = start > a.position ? start - a.position : 0, first = skip, last;
        while (first < tile.n && first_seen(op, a.position + first) < start)
            first++;
        for (last = first; last < tile.n && first_seen(op, a.position + last) < start + Q4_KV_SPAN;)
            last++;
        q4_attn_args args = span_args(r, op, head, span);
        args.n_heads = heads;
        join_span(ops, kv, &a, &args, (struct q4_range){skip, first - skip}, start);
        begin_span(kv, &a, &args, (struct q4_range){first, last - first}, start);
    }
    for (size_t i = 0; i < tile.n * heads; i++)
        ops->attention_finish(a.out + i / heads * a.width + i % heads * op->head_dim, a.states[i].sum, op->head_dim);
}

// ---- one token, one span ------------------------------------------------------------------------
// Spans are counted from the first one that the token sees.

// Partial results of a KV head's group at a span: [KV head][span][query head], in the session.
static size_t partial_index(const struct q4_session *session, size_t kv_head, size_t span, size_t group) {
    return (kv_head * session->n_spans + span) * group;
}

static void merge_spans(struct q4_run *r, const struct q4_op *op, size_t token, size_t kv_head, struct shape s) {
    const struct q4_session *session = r->s;
    size_t dim = op->head_dim;
    for (size_t h = 0; h < s.group; h++) {
        float *out = q4_row(r, op->out, token) + (kv_head * s.group + h) * dim;
        size_t at = partial_index(session, kv_head, 0, s.group) + h; // the first that it sees
        q4_attn_state state = session->span_states[at];
        memcpy(out, session->span_acc + at * dim, dim * sizeof *out);
        for (size_t span = 1; span < s.spans; span++) {
            at += s.group;
            r->m->ops->attention_merge(out, &state, session->span_acc + at * dim, session->span_states[at], dim);
        }
        r->m->ops->attention_finish(out, state.sum, dim);
    }
    if (op->few.quantized)
        q4_quantize_columns(r, op->few.quantized, token, kv_head * s.group * dim, s.group * dim);
}

static void attend_span(struct q4_run *r, const struct q4_op *op, size_t token, size_t kv_head, size_t span,
                        struct shape s) {
    const struct q4_session *session = r->s;
    size_t dim = op->head_dim, at = partial_index(session, kv_head, span, s.group);
    q4_attn_args args = span_args(r, op, kv_head * s.group, s.first + span);
    args.n_heads = s.group;
    args.n_tokens = 1;
    args.n_positions = r->call->n_past + token + 1 - (s.first + span) * Q4_KV_SPAN;
    r->m->ops->kv[r->m->kv_form].attention(session->span_acc + at * dim, session->span_states + at,
                                           q4_row(r, op->source, token) + op->source_col + kv_head * s.group * dim,
                                           &args);
    // whoever ends last sees all of the others' results: the counter orders them
    if (atomic_fetch_add(&session->span_done[kv_head], 1) + 1 == s.spans) {
        atomic_store(&session->span_done[kv_head], 0);
        merge_spans(r, op, token, kv_head, s);
    }
}

static void attend_unit(struct q4_run *r, const struct q4_op *op, struct q4_range range, size_t unit, int member) {
    struct shape s = shape_of(r, op, range);
    if (s.by_span) {
        attend_span(r, op, range.first, unit / s.spans, unit % s.spans, s);
        return;
    }
    size_t columns = op->heads / s.heads, first = unit / columns * s.tokens;
    struct q4_range tile = {range.first + first, q4_min_size(s.tokens, range.n - first)};
    size_t head = unit % columns * s.heads, dim = op->head_dim;
    attend_tile(r, op, tile, head, s.heads, member);
    const struct q4_op *quantize = q4_step_of(r, op, range)->quantized;
    for (size_t i = 0; quantize && i < tile.n; i++)
        q4_quantize_columns(r, quantize, tile.first + i, head * dim, s.heads * dim);
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    for (size_t i = 0; i < units.n; i++)
        attend_unit(r, op, range, units.first + i, member);
}

// ---- at load ------------------------------------------------------------------------------------

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    size_t columns;
    if (op->heads == 0 || op->heads > Q4_MAX_HEADS || op->kv_heads == 0 || op->heads % op->kv_heads)
        return q4_plan_fail(error, "%zu query heads cannot share %zu KV heads", op->heads, op->kv_heads);
    if (!q4_mul_size(op->heads, op->head_dim, &columns) || !q4_columns_fit(m, op->source, op->source_col, columns) ||
        !q4_columns_fit(m, op->out, 0, columns) || op->source == op->out)
        return q4_plan_fail(error, "%zu heads of %zu columns do not fit their buffers", op->heads, op->head_dim);
    const struct q4_kv_shape *shape = op->layer == Q4_NONE ? NULL : &m->kv_shapes[op->layer];
    if (shape == NULL || shape->heads != op->kv_heads || shape->head_dim != op->head_dim)
        return q4_plan_fail(error, "no operation before it stores %zu KV heads of %zu columns in its layer",
                            op->kv_heads, op->head_dim);
    if (!(op->scale > 0.0f && op->scale < INFINITY))
        return q4_plan_fail(error, "scores scaled by %g", (double)op->scale);
    return q4_cap_fits(op->logit_cap) || q4_plan_fail(error, "scores capped at %g", (double)op->logit_cap);
}

static struct q4_range columns(const struct q4_model *m, const struct q4_op *op) {
    (void)m;
    return (struct q4_range){0, op->heads * op->head_dim};
}

const struct q4_op_class q4_op_attention = {
    .name = "attention",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, source),
                                        Q4_FIELD(SIZE, source_col),
                                        Q4_FIELD(BUFFER, out),
                                        Q4_FIELD(SIZE, heads),
                                        Q4_FIELD(SIZE, kv_heads),
                                        Q4_FIELD(SIZE, head_dim),
                                        Q4_FIELD(FLOAT, scale),
                                        Q4_FIELD(SIZE, window),
                                        Q4_FIELD(FLOAT, logit_cap),
                                        {0}},
    .check = check,
    .columns = columns,
    .units = units,
    .work = work,
    .lasts = true,
    .scratch = scratch,
};
