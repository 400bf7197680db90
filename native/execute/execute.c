// Walks the plan: one call of the executor is one decode call. The threads take units of an operation's work (row
// chunks, tokens, heads) until none is left, meet at a barrier, and go on to the next operation together.
#define _GNU_SOURCE
#include "run.h"

#include "../cpu.h"
#include "rope_table.h"

#include <sched.h>
#include <stdio.h>

static size_t count_units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    const struct q4_op_class *class = q4_step_of(r, op, range)->class;
    return class ? class->units(r, op, range) : 0;
}

// What a member has had to do with an operation.
enum part { NONE, SOME, LEFT };

// The member's part of an operation. LEFT: it has left the call, and touches nothing of it any more.
static enum part work(struct q4_run *r, const struct q4_op *op, struct q4_range range, size_t units, int member) {
    const struct q4_op_class *class = q4_step_of(r, op, range)->class;
    q4_team *team = r->m->team;
    struct q4_units taken = {0, 1};
    enum part part = units == 1 && member == q4_team_lead(team) ? SOME : NONE;
    if (part)
        class->work(r, op, range, taken, member);
    if (units <= 1)
        return part;
    size_t most = class->most ? class->most(r, op, range) : 1;
    bool asks = class->lasts && range.n > 1; // a single token's attention counts the units that are done
    while (!(asks && q4_call_ends(r, op, member))) {
        if (q4_team_leaves(team, member))
            return LEFT;
        bool little = !q4_few(r, range) && q4_team_shares_cpu(team, member);
        if (!q4_team_take(team, member, units, little ? 1 : most, &taken))
            break;
        class->work(r, op, range, taken, member);
        part = SOME;
    }
    return part;
}

// An operation of a single unit is one member's, so a run of such operations needs no barrier in between. A member that
// has left comes in behind the last barrier.
static void walk(void *context, int member) {
    struct q4_run *r = context;
    const struct q4_model *m = r->m;
    const struct q4_op *op = m->plan + q4_team_place(m->team, member), *end = m->plan + m->n_ops;
    if (op > m->plan && (op == end || q4_call_ended(r, op - 1)))
        return;
    struct q4_recorder *recorder = r->call->phase ? r->s->recorder : NULL;
    struct q4_thread_record *record = recorder ? &recorder->threads[member] : NULL;
    uint64_t fp = q4_fp_enter();
    struct q4_prefetch next = {0};
    if (record)
        q4_record_start(recorder, record);
    struct q4_range range = q4_token_range(r, op);
    size_t units = count_units(r, op, range);
    for (; op < end; op++) {
        enum part part = work(r, op, range, units, member);
        if (part == LEFT)
            break;
        if (record) // of emulated instructions even the few around operations are told apart
            q4_record_mark(recorder, record, part || recorder->emulated);
        if (op->kind == Q4_OP_MATMUL)
            next = q4_next_weights(r, op, member);
        size_t next_units = 0;
        if (op + 1 < end) {
            range = q4_token_range(r, op + 1);
            next_units = count_units(r, op + 1, range);
        }
        bool barrier = units > 1 || (units == 1 && next_units != 1);
        if (barrier) {
            q4_call_ends(r, op, member);
            q4_team_barrier(m->team, member, (size_t)(op + 1 - m->plan), &next);
        }
        if (record)
            q4_record_mark(recorder, record, barrier && recorder->present.n_threads > 1);
        // a member that is late at an earlier operation goes on to the one that all leave behind
        if (barrier && q4_call_ended(r, op))
            break;
        units = next_units;
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

static void report_interrupted(const struct q4_call *call, char *error) {
    snprintf(error, Q4_ERROR_SIZE, "the call past %zu, n_eval %zu was interrupted", call->n_past, call->n_tokens);
}

// False: interrupted. A member that is away waits for a CPU that another program may keep for long.
static bool await_members(const struct q4_call *call, const q4_team *team) {
    while (!q4_team_is_complete(team)) {
        if (q4_interrupted(call->interrupt))
            return false;
        sched_yield();
    }
    return true;
}

bool q4_session_decode(struct q4_session *s, const struct q4_call *call, char *error) {
    if (!check_call(s, call, error))
        return false;
    const struct q4_model *m = s->model;
    int n_threads = q4_model_threads(m, call->n_tokens);
    struct q4_recorder *recorder = call->phase ? s->recorder : NULL;
    if (recorder && !await_members(call, m->team)) {
        report_interrupted(call, error);
        return false;
    }
    if (recorder)
        q4_record_call_start(recorder, &(struct q4_record){.n_past = call->n_past,
                                                           .n_tokens = call->n_tokens,
                                                           .n_threads = n_threads,
                                                           .all_logits = call->all_logits,
                                                           .phase = call->phase});
    uint64_t fp = q4_fp_enter();
    for (size_t i = 0; i < m->n_rope_tables; i++) {
        const struct q4_rope_table *table = &m->rope_tables[i];
        const double *frequency = s->n_ctx > table->far_from ? table->far_frequency : table->frequency;
        for (size_t t = 0; t < call->n_tokens; t++)
            q4_rope_table(s->cos_sin[i] + t * table->dim, frequency, table->dim / 2, table->magnitude,
                          call->n_past + t);
    }
    q4_fp_leave(fp);
    for (size_t i = 0; i < m->n_tallies; i++)
        atomic_store_explicit(&s->tallies[i], 0, memory_order_relaxed);
    struct q4_run r = {.s = s, .m = m, .call = call, .last = m->n_ops, .fault = UINT64_MAX};
    // a call that is recorded is left by nobody: its rows tell who waited for whom
    (recorder ? q4_team_run : q4_team_run_present)(m->team, n_threads, walk, &r);
    if (atomic_load(&r.last) < m->n_ops) {
        report_interrupted(call, error);
        return false;
    }
    uint64_t fault = atomic_load(&r.fault);
    if (fault != UINT64_MAX) {
        const struct q4_op *op = &m->plan[fault >> 32];
        snprintf(error, Q4_ERROR_SIZE, "a %s in %s at position %zu of the call past %zu, n_eval %zu",
                 op->kind == Q4_OP_KV_STORE ? "key or value is beyond fp16 or not finite" : "value is not finite",
                 op->name, call->n_past + (size_t)(uint32_t)fault, call->n_past, call->n_tokens);
        return false;
    }
    if (recorder && !q4_record_call_stop(recorder)) {
        snprintf(error, Q4_ERROR_SIZE, "no memory to record the call past %zu, n_eval %zu", call->n_past,
                 call->n_tokens);
        return false;
    }
    return true;
}
