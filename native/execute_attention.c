// Attention as units of work. A prompt is cut by tokens and KV heads, and each unit walks the cache's spans; a single
// token on a long context is cut by KV heads and spans, and whoever finishes a head's last span merges them. Either way
// spans are attended to apart and merged in position order, so the bits are the same.
#include "execute.h"

#include <string.h>

// Tokens a unit: they read keys and values once. As many rows (tokens times heads of the group) as the variant wants.
static size_t tile_tokens(const struct q4_model *m) {
    size_t group = m->params.n_heads / m->params.n_kv_heads, rows = m->ops->attention_rows;
    return rows / group > m->ops->attention_tokens ? rows / group : m->ops->attention_tokens;
}

struct shape {
    size_t group;  // query heads that share a KV head
    size_t heads;  // query heads a unit takes
    size_t tokens; // tokens a unit takes
    size_t spans;  // of the call's last position
    bool by_span;
};

static size_t spans_of(size_t n_positions) { return (n_positions + Q4_KV_SPAN - 1) / Q4_KV_SPAN; }

static struct shape shape_of(const struct run *r, struct range range) {
    const struct q4_params *p = &r->m->params;
    size_t threads = (size_t)q4_team_size(r->m->team);
    struct shape s = {.group = p->n_heads / p->n_kv_heads, .tokens = q4_min_size(range.n, tile_tokens(r->m))};
    s.spans = spans_of(r->call->n_past + range.first + range.n);
    s.by_span = range.n == 1 && s.spans > 1;
    size_t units = p->n_kv_heads * (s.by_span ? s.spans : (range.n + s.tokens - 1) / s.tokens);
    // single heads where too few groups would leave threads without work
    s.heads = s.by_span || units % threads == 0 || units >= 8 * threads ? s.group : 1;
    return s;
}

size_t q4_attention_units(const struct run *r, struct range range) {
    struct shape s = shape_of(r, range);
    size_t columns = r->m->params.n_heads / s.heads;
    return columns * (s.by_span ? s.spans : (range.n + s.tokens - 1) / s.tokens);
}

static q4_attn_args span_args(const struct run *r, const struct q4_op *op, size_t head, size_t span) {
    const struct q4_params *p = &r->m->params;
    size_t kv_head = head / (p->n_heads / p->n_kv_heads);
    size_t at = q4_cache_offset(r, op->layer, kv_head) + span * Q4_KV_SPAN * p->head_dim;
    return (q4_attn_args){
        .keys = r->s->keys + at,
        .values = r->s->values + at,
        .head_dim = p->head_dim,
        .q_stride = r->m->buffers[op->in].width,
        .scale = 1.0f / __builtin_sqrtf((float)p->head_dim),
    };
}

// ---- a tile of tokens, all its spans ------------------------------------------------------------

static size_t tile_floats(const struct q4_model *m) {
    return tile_tokens(m) * (m->params.n_heads / m->params.n_kv_heads) * m->params.head_dim;
}

size_t q4_attention_scratch(const struct q4_model *m) {
    size_t heads = m->params.n_heads / m->params.n_kv_heads;
    return q4_round_up(tile_floats(m) * sizeof(float), 64) + 2 * tile_tokens(m) * heads * sizeof(q4_attn_state);
}

static void attend_tile(struct run *r, const struct q4_op *op, struct range tile, size_t head, size_t heads,
                        int member) {
    const struct q4_ops *ops = r->m->ops;
    size_t dim = r->m->params.head_dim, width = r->m->buffers[op->out].width;
    float *later = (float *)(r->s->scratch + (size_t)member * r->s->scratch_bytes);
    q4_attn_state *states = (q4_attn_state *)(later + q4_round_up(tile_floats(r->m), 16)),
                  *others = states + tile.n * heads;
    size_t visible = r->call->n_past + tile.first + 1; // positions that the tile's first token sees
    float *out = q4_row(r, op->out, tile.first) + head * dim;
    const float *q = q4_row(r, op->in, tile.first) + op->in_col + head * dim;
    for (size_t span = 0; span < spans_of(visible + tile.n - 1); span++) {
        size_t start = span * Q4_KV_SPAN, skip = visible > start ? 0 : start + 1 - visible; // tokens that end before it
        q4_attn_args args = span_args(r, op, head, span);
        args.n_heads = heads;
        args.n_tokens = tile.n - skip;
        args.n_positions = visible + skip - start;
        args.acc_stride = span ? heads * dim : width;
        ops->attention(span ? later : out, span ? others : states, q + skip * args.q_stride, &args);
        for (size_t i = 0; span && i < args.n_tokens * heads; i++)
            ops->attention_merge(out + (skip + i / heads) * width + i % heads * dim, &states[skip * heads + i],
                                 later + i * dim, others[i], dim);
    }
    for (size_t i = 0; i < tile.n * heads; i++)
        ops->attention_finish(out + i / heads * width + i % heads * dim, states[i].sum, dim);
}

// ---- one token, one span ------------------------------------------------------------------------

// Partial results of a KV head's group at a span: [KV head][span][query head], in the session.
static size_t partial_index(const struct q4_session *session, size_t kv_head, size_t span, size_t group) {
    return (kv_head * session->n_spans + span) * group;
}

static void merge_spans(struct run *r, const struct q4_op *op, size_t token, size_t kv_head, struct shape s) {
    const struct q4_session *session = r->s;
    size_t dim = r->m->params.head_dim;
    for (size_t h = 0; h < s.group; h++) {
        float *out = q4_row(r, op->out, token) + (kv_head * s.group + h) * dim;
        size_t at = partial_index(session, kv_head, 0, s.group) + h;
        q4_attn_state state = session->span_states[at];
        memcpy(out, session->span_acc + at * dim, dim * sizeof *out);
        for (size_t span = 1; span < s.spans; span++) {
            at += s.group;
            r->m->ops->attention_merge(out, &state, session->span_acc + at * dim, session->span_states[at], dim);
        }
        r->m->ops->attention_finish(out, state.sum, dim);
    }
    q4_quantize_behind(r, op, (struct range){token, 1}, kv_head * s.group * dim, s.group * dim);
}

static void attend_span(struct run *r, const struct q4_op *op, size_t token, size_t kv_head, size_t span,
                        struct shape s) {
    const struct q4_session *session = r->s;
    size_t dim = r->m->params.head_dim, at = partial_index(session, kv_head, span, s.group);
    q4_attn_args args = span_args(r, op, kv_head * s.group, span);
    args.n_heads = s.group;
    args.n_tokens = 1;
    args.n_positions = r->call->n_past + token + 1 - span * Q4_KV_SPAN;
    r->m->ops->attention(session->span_acc + at * dim, session->span_states + at,
                         q4_row(r, op->in, token) + op->in_col + kv_head * s.group * dim, &args);
    // whoever ends last sees all of the others' results: the counter orders them
    if (atomic_fetch_add(&session->span_done[kv_head], 1) + 1 == s.spans) {
        atomic_store(&session->span_done[kv_head], 0);
        merge_spans(r, op, token, kv_head, s);
    }
}

void q4_attention_unit(struct run *r, const struct q4_op *op, struct range range, size_t unit, int member) {
    struct shape s = shape_of(r, range);
    if (s.by_span) {
        attend_span(r, op, range.first, unit / s.spans, unit % s.spans, s);
        return;
    }
    size_t columns = r->m->params.n_heads / s.heads, first = unit / columns * s.tokens;
    struct range tile = {range.first + first, q4_min_size(s.tokens, range.n - first)};
    size_t head = unit % columns * s.heads, dim = r->m->params.head_dim;
    attend_tile(r, op, tile, head, s.heads, member);
    q4_quantize_behind(r, op, range, head * dim, s.heads * dim);
}
