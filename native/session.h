// One timeline over a model: the KV cache and the activations of a batch.
#ifndef Q4_SESSION_H
#define Q4_SESSION_H

#include "interrupt.h"
#include "kv_cache.h"
#include "recorder.h"

// Positions up to here keep RoPE's angles below 2^30 (rope_table.c).
#define Q4_MAX_CONTEXT ((size_t)1 << 28)
#define Q4_MAX_BATCH ((size_t)1 << 20)

struct q4_buffer_data {
    float *x; // [n_batch][width]
    int8_t *q[Q4_ACT_FORMS];
    float *d[Q4_ACT_FORMS];
    int32_t *sum[Q4_ACT_FORMS];
    uint8_t *packed[Q4_MAX_PACKINGS];
};

struct q4_session {
    const struct q4_model *model;
    size_t n_ctx, n_batch;
    struct q4_kv_cache cache;
    struct q4_buffer_data *buffers;
    float **cos_sin; // [RoPE table]: [n_batch][dim]
    // a single token's attention, span by span: [KV head][n_spans][query head of the group], for the widest operation
    size_t n_spans;
    float *span_acc; // … [head_dim]
    q4_attn_state *span_states;
    _Atomic size_t *span_done; // [KV head]
    _Atomic uint32_t *tallies; // [EXPERTS operation]: experts that the call's tokens went to
    uint8_t *scratch;
    size_t scratch_bytes; // a thread's
    uint8_t *memory;
    size_t memory_bytes;
    struct q4_recorder *recorder; // NULL: calls are not recorded
};

// What one decode call is asked for, and what came of it.
struct q4_call {
    const int32_t *tokens;
    size_t n_tokens, n_past;
    bool all_logits;
    enum q4_phase phase;
    float *logits;                  // [1 or n_tokens][vocabulary]
    struct q4_interrupt *interrupt; // may end the call before it is done; NULL: nothing does
};

bool q4_session_init(struct q4_session *session, const struct q4_model *model, size_t n_ctx, size_t n_batch,
                     char *error);
void q4_session_clear(struct q4_session *session);
size_t q4_session_vocabulary(const struct q4_session *session);

// Runs the plan. false: nothing is to be used of this call; the message names operation and position.
bool q4_session_decode(struct q4_session *session, const struct q4_call *call, char *error);

#endif
