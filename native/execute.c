// Walks the plan: one call of the executor is one decode call. The threads take units of an operation's work (row
// chunks, tokens, heads) until none is left, meet at a barrier, and go on to the next operation together.
#define _GNU_SOURCE
#include "execute.h"

#include "cpu.h"
#include "rope_table.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct range q4_token_range(const struct run *r, const struct q4_op *op) {
    if (op->flags & Q4_OP_LAST && !r->call->all_logits)
        return (struct range){r->call->n_tokens - 1, 1};
    return (struct range){0, r->call->n_tokens};
}

// Keeps the earliest fault in plan order, then token order, so that the message does not depend on the threads.
void q4_report(struct run *r, const struct q4_op *op, size_t token) {
    uint64_t fault = (uint64_t)(op - r->m->plan) << 32 | token, seen = atomic_load(&r->fault);
    while (fault < seen && !atomic_compare_exchange_weak(&r->fault, &seen, fault))
        ;
}

// ---- how many units, and one unit, of each operation
// ------------------------------------------------------------------

// Tokens that are quantised together: whole tiles of every packing of the buffer.
static size_t quantize_group(const struct q4_buffer *b) {
    size_t group = 1;
    for (size_t i = 0; i < b->n_packings; i++)
        group = q4_common_multiple(group, b->packings[i]->tile);
    return group;
}

void q4_quantize_columns(struct run *r, const struct q4_op *op, size_t token, size_t first, size_t n) {
    const struct q4_buffer *b = &r->m->buffers[op->in];
    const struct q4_buffer_data *data = &r->s->buffers[op->in];
    const float *x = q4_row(r, op->in, token) + first;
    size_t at = token * b->width + first;
    bool ok = true;
    for (int f = 0; f < Q4_ACT_FORMS; f++) {
        size_t block = q4_act_traits[f].block;
        if (b->forms[f] && block)
            ok &= r->m->ops->quantize[f](x, n, data->q[f] + at, data->d[f] + at / block,
                                         data->sum[f] ? data->sum[f] + at / block : NULL);
    }
    if (!ok)
        q4_report(r, op, token);
}

// Tiles start at token 0 of the batch; a range of one token is read unpacked by GEMV.
static void quantize(struct run *r, const struct q4_op *op, struct range range, size_t unit) {
    const struct q4_buffer *b = &r->m->buffers[op->in];
    const struct q4_buffer_data *data = &r->s->buffers[op->in];
    size_t group = quantize_group(b), first = range.first + unit * group;
    size_t n = q4_min_size(group, range.first + range.n - first);
    for (size_t i = 0; i < n; i++)
        q4_quantize_columns(r, op, first + i, 0, b->width);
    if (range.n == 1)
        return;
    for (size_t p = 0; p < b->n_packings; p++) {
        const struct q4_act_packing *packing = b->packings[p];
        struct q4_acts acts = {.k = b->width};
        q4_set_form(&acts, data, packing->form);
        for (size_t t = first; t < first + n; t += packing->tile)
            packing->pack(data->packed[p] + t / packing->tile * packing->bytes(b->width), &acts, t,
                          q4_min_size(packing->tile, first + n - t));
    }
}

static void rope(struct run *r, const struct q4_op *op, size_t token, size_t first, size_t n) {
    const struct q4_params *p = &r->m->params;
    float *x = q4_row(r, op->in, token) + op->in_col;
    for (size_t h = first; h < first + n; h++)
        r->m->ops->rope(x + h * p->head_dim, r->s->cos_sin + token * p->rope_dim, p->rope_dim, p->rope_style);
}

static void kv_store(struct run *r, const struct q4_op *op, size_t token, size_t first, size_t n) {
    const struct q4_params *p = &r->m->params;
    const float *k = q4_row(r, op->in, token) + op->in_col, *v = q4_row(r, op->in, token) + op->out_col;
    bool ok = true;
    for (size_t h = first; h < first + n; h++) {
        size_t at = q4_cache_offset(r, op->layer, h), column = h * p->head_dim;
        ok &= r->m->ops->kv_store(r->s->keys + at, r->s->values + at, k + column, v + column, p->head_dim,
                                  r->call->n_past + token);
    }
    if (!ok)
        q4_report(r, op, token);
}

// Positions of a prompt that are stored at once, where each thread has some; the rest of a batch, and what crosses a
// block of the cache, goes one by one.
static size_t store_tokens(const struct run *r, struct range range) {
    size_t threads = (size_t)q4_team_size(r->m->team);
    return r->m->ops->kv_store_16 && range.n >= 32 * threads ? 16 : 1;
}

static bool kv_store_16(struct run *r, const struct q4_op *op, size_t token) {
    const struct q4_params *p = &r->m->params;
    size_t position = r->call->n_past + token;
    if (position % Q4_KV_BLOCK > Q4_KV_BLOCK - 16)
        return false;
    const float *k = q4_row(r, op->in, token) + op->in_col, *v = q4_row(r, op->in, token) + op->out_col;
    bool ok = true;
    for (size_t h = 0; h < p->n_kv_heads; h++) {
        size_t at = q4_cache_offset(r, op->layer, h), column = h * p->head_dim;
        ok &= r->m->ops->kv_store_16(r->s->keys + at, r->s->values + at, k + column, v + column,
                                     r->m->buffers[op->in].width, p->head_dim, position);
    }
    return ok; // or it is done again, to find the token
}

static void kv_store_prompt(struct run *r, const struct q4_op *op, struct range range, size_t unit) {
    size_t most = store_tokens(r, range), first = range.first + unit * most;
    size_t n = q4_min_size(most, range.first + range.n - first);
    if (op > r->m->plan && q4_done_beside(r, op - 1, range) && op[-1].kind == Q4_OP_ROPE)
        for (size_t i = 0; i < n; i++)
            rope(r, op - 1, first + i, 0, op[-1].heads);
    if (n == 16 && kv_store_16(r, op, first))
        return;
    for (size_t i = 0; i < n; i++)
        kv_store(r, op, first + i, 0, r->m->params.n_kv_heads);
}

// A single token is cut by KV heads, whose rotation the same thread does just before where it can.
static void kv_store_unit(struct run *r, const struct q4_op *op, struct range range, size_t unit) {
    const struct q4_params *p = &r->m->params;
    if (range.n > 1) {
        kv_store_prompt(r, op, range, unit);
        return;
    }
    size_t group = p->n_heads / p->n_kv_heads;
    if (op > r->m->plan && op[-1].kind == Q4_OP_ROPE && q4_done_beside(r, op - 1, range)) {
        rope(r, op - 1, range.first, unit * group, group);
        rope(r, op - 1, range.first, p->n_heads + unit, 1);
    }
    kv_store(r, op, range.first, unit, 1);
}

#define SWIGLU_COLUMNS Q4_SUPER // a unit for a single token: whole blocks for whoever quantises them

static void swiglu(struct run *r, const struct q4_op *op, struct range range, size_t unit) {
    size_t width = r->m->buffers[op->out].width, columns = range.n == 1 ? SWIGLU_COLUMNS : width;
    size_t token = range.n == 1 ? range.first : range.first + unit, first = range.n == 1 ? unit * columns : 0;
    const float *gate = q4_row(r, op->in, token);
    r->m->ops->swiglu(q4_row(r, op->out, token) + first, gate + first, gate + width + first,
                      q4_min_size(columns, width - first));
    q4_quantize_behind(r, op, range, first, q4_min_size(columns, width - first));
}

static void embed(struct run *r, const struct q4_op *op, size_t token) {
    const struct q4_table *t = &r->m->tables[op->table];
    const uint8_t *source = t->data + (size_t)r->call->tokens[token] * t->row_bytes;
    float *y = q4_row(r, op->out, token);
    t->type->dequantize(y, source, t->columns);
    if (!r->m->ops->all_finite(y, t->columns))
        q4_report(r, op, token);
}

static void rms_norm(struct run *r, const struct q4_op *op, size_t token) {
    if (!r->m->ops->rms_norm(q4_row(r, op->out, token), q4_row(r, op->in, token), r->m->vectors[op->vector].data,
                             r->m->buffers[op->in].width, r->m->params.eps))
        q4_report(r, op, token);
}

static size_t count_units(const struct run *r, const struct q4_op *op, struct range range) {
    if (q4_done_beside(r, op, range) || q4_done_through(r, op, range))
        return 0;
    switch (op->kind) {
    case Q4_OP_MATMUL:
        return q4_matmul_units(r, op, range);
    case Q4_OP_ATTENTION:
        return q4_attention_units(r, range);
    case Q4_OP_SWIGLU:
        return range.n == 1 ? (r->m->buffers[op->out].width + SWIGLU_COLUMNS - 1) / SWIGLU_COLUMNS : range.n;
    case Q4_OP_KV_STORE:
        return range.n == 1 ? r->m->params.n_kv_heads : (range.n + store_tokens(r, range) - 1) / store_tokens(r, range);
    case Q4_OP_QUANTIZE: {
        size_t group = quantize_group(&r->m->buffers[op->in]);
        return (range.n + group - 1) / group;
    }
    default:
        return range.n;
    }
}

static void run_unit(struct run *r, const struct q4_op *op, struct range range, size_t unit, int member) {
    switch (op->kind) {
    case Q4_OP_EMBED:
        embed(r, op, range.first + unit);
        break;
    case Q4_OP_RMS_NORM:
        rms_norm(r, op, range.first + unit);
        break;
    case Q4_OP_QUANTIZE:
        quantize(r, op, range, unit);
        break;
    case Q4_OP_ROPE:
        rope(r, op, range.first + unit, 0, op->heads);
        break;
    case Q4_OP_KV_STORE:
        kv_store_unit(r, op, range, unit);
        break;
    case Q4_OP_ATTENTION:
        q4_attention_unit(r, op, range, unit, member);
        break;
    case Q4_OP_SWIGLU:
        swiglu(r, op, range, unit);
        break;
    default:
        break;
    }
}

static void run_units(struct run *r, const struct q4_op *op, struct range range, struct q4_units units, int member) {
    if (op->kind == Q4_OP_MATMUL) {
        q4_matmul(r, op, range, units, member);
        return;
    }
    for (size_t i = 0; i < units.n; i++)
        run_unit(r, op, range, units.first + i, member);
}

// ---- the walk
// ---------------------------------------------------------------------------------------------------------

// An operation of a single unit is member 0's, so a run of such operations needs no barrier in between.
static void walk(void *context, int member) {
    struct run *r = context;
    const struct q4_model *m = r->m;
    struct q4_recorder *recorder = r->call->phase ? r->s->recorder : NULL;
    struct q4_thread_record *record = recorder ? &recorder->threads[member] : NULL;
    uint64_t fp = q4_fp_enter();
    struct q4_ahead ahead = {0};
    if (record)
        q4_record_start(recorder, record);
    for (size_t i = 0; i < m->n_ops; i++) {
        const struct q4_op *op = &m->plan[i];
        struct range range = q4_token_range(r, op);
        size_t units = count_units(r, op, range);
        size_t most = op->kind == Q4_OP_MATMUL ? q4_matmul_most_units(r, op, range) : 1;
        struct q4_units taken = {0, 1};
        bool busy = units == 1 && member == 0;
        if (busy)
            run_units(r, op, range, taken, member);
        while (units > 1 && q4_team_take(m->team, member, units, most, &taken)) {
            run_units(r, op, range, taken, member);
            busy = true;
        }
        if (record) // of emulated instructions even the few around operations are told apart
            q4_record_mark(recorder, record, busy || recorder->emulated);
        bool next_single = i + 1 < m->n_ops && count_units(r, op + 1, q4_token_range(r, op + 1)) == 1;
        bool barrier = units > 1 || (units == 1 && !next_single);
        if (op->kind == Q4_OP_MATMUL)
            ahead = q4_next_weights(r, op, member);
        if (barrier)
            q4_team_barrier(m->team, &ahead);
        if (record)
            q4_record_mark(recorder, record, barrier && recorder->n_threads > 1);
    }
    if (record)
        q4_record_stop(recorder, record);
    q4_fp_leave(fp);
}

static bool check_call(const struct q4_session *s, const struct q4_call *call, char *error) {
    if (call->n_tokens == 0 || call->n_tokens > s->n_batch || call->n_past > s->n_ctx ||
        call->n_tokens > s->n_ctx - call->n_past) {
        snprintf(error, Q4_ERROR_SIZE, "%zu tokens after %zu do not fit a context of %zu in batches of %zu",
                 call->n_tokens, call->n_past, s->n_ctx, s->n_batch);
        return false;
    }
    for (size_t i = 0; i < s->model->n_tables; i++)
        for (size_t t = 0; t < call->n_tokens; t++)
            if (call->tokens[t] < 0 || (size_t)call->tokens[t] >= s->model->tables[i].rows) {
                snprintf(error, Q4_ERROR_SIZE, "token %d at position %zu: the vocabulary has %zu", call->tokens[t],
                         call->n_past + t, s->model->tables[i].rows);
                return false;
            }
    return true;
}

bool q4_session_decode(struct q4_session *s, const struct q4_call *call, char *error) {
    if (!check_call(s, call, error))
        return false;
    const struct q4_model *m = s->model;
    struct q4_recorder *recorder = call->phase ? s->recorder : NULL;
    if (recorder)
        q4_record_call_start(recorder, &(struct q4_record){.n_past = call->n_past,
                                                           .n_tokens = call->n_tokens,
                                                           .all_logits = call->all_logits,
                                                           .phase = call->phase});
    uint64_t fp = q4_fp_enter();
    for (size_t t = 0; t < call->n_tokens; t++)
        q4_rope_table(s->cos_sin + t * m->params.rope_dim, m->rope_frequency, m->params.rope_dim / 2, call->n_past + t);
    q4_fp_leave(fp);
    struct run r = {.s = s, .m = m, .call = call, .fault = UINT64_MAX};
    q4_team_run(m->team, walk, &r);
    uint64_t fault = atomic_load(&r.fault);
    if (fault != UINT64_MAX) {
        snprintf(error, Q4_ERROR_SIZE, "a value is not finite in %s at position %zu of the call past %zu, n_eval %zu",
                 m->plan[fault >> 32].name, call->n_past + (size_t)(uint32_t)fault, call->n_past, call->n_tokens);
        return false;
    }
    if (recorder && !q4_record_call_stop(recorder)) {
        snprintf(error, Q4_ERROR_SIZE, "no memory to record the call past %zu, n_eval %zu", call->n_past,
                 call->n_tokens);
        return false;
    }
    return true;
}
