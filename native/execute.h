// What the parts of the executor share.
#ifndef Q4_EXECUTE_H
#define Q4_EXECUTE_H

#include "session.h"

#include <stdatomic.h>

struct run {
    struct q4_session *s;
    const struct q4_model *m;
    const struct q4_call *call;
    _Atomic uint64_t fault; // the first operation and token that met a value that is not finite; UINT64_MAX: none
};

// The tokens of the batch that an operation works on.
struct range {
    size_t first, n;
};

static inline float *q4_row(const struct run *r, int buffer, size_t token) {
    return r->s->buffers[buffer].x + token * r->m->buffers[buffer].width;
}

// Where one KV head of one layer starts in the caches.
static inline size_t q4_cache_offset(const struct run *r, int layer, size_t kv_head) {
    return ((size_t)layer * r->m->params.n_kv_heads + kv_head) * r->s->head_stride;
}

struct range q4_token_range(const struct run *r, const struct q4_op *op);
// An operation met a value that is not finite.
void q4_report(struct run *r, const struct q4_op *op, size_t token);

// ---- a single token (execute_single.c) ----------------------------------------------------------
// Between operations that share nothing across heads or columns, threads need not meet: whoever has computed columns
// quantises them, and whoever stores a head rotates it first. The operation itself then has nothing left to do.
bool q4_done_beside(const struct run *r, const struct q4_op *op, struct range range);
// Quantises columns that a unit of `op` has just written, where the operation behind it leaves that to it.
void q4_quantize_behind(struct run *r, const struct q4_op *op, struct range range, size_t first, size_t n);
// The first of the weights that the member will read after this operation; nothing where no single token meets them.
struct q4_ahead q4_next_weights(const struct run *r, const struct q4_op *op, int member);
// n columns, whole blocks, of a QUANTIZE operation.
void q4_quantize_columns(struct run *r, const struct q4_op *op, size_t token, size_t first, size_t n);

// ---- matrix products (execute_matmul.c) ---------------------------------------------------------
size_t q4_matmul_units(const struct run *r, const struct q4_op *op, struct range range);
size_t q4_matmul_most_units(const struct run *r, const struct q4_op *op, struct range range); // that a thread takes
void q4_matmul(struct run *r, const struct q4_op *op, struct range range, struct q4_units units, int member);
// Whether a product before has done this operation on the way (q4_op.through).
bool q4_done_through(const struct run *r, const struct q4_op *op, struct range range);
// One form of the activations, without what a kernel's packing made of it.
void q4_set_form(struct q4_acts *acts, const struct q4_buffer_data *data, enum q4_act_form form);

// ---- attention (execute_attention.c) ------------------------------------------------------------
size_t q4_attention_units(const struct run *r, struct range range);
void q4_attention_unit(struct run *r, const struct q4_op *op, struct range range, size_t unit, int member);

#endif
