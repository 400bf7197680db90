// What the operations share while a call runs, and what they do for one another.
#ifndef Q4_RUN_H
#define Q4_RUN_H

#include "../session.h"

#include <stdatomic.h>

struct q4_run {
    struct q4_session *s;
    const struct q4_model *m;
    const struct q4_call *call;
    _Atomic size_t last;    // the operation that the call ends behind
    _Atomic uint64_t fault; // the first operation and token that met a value that is not finite; UINT64_MAX: none
};

static inline float *q4_row(const struct q4_run *r, int buffer, size_t token) {
    return r->s->buffers[buffer].x + token * r->m->buffers[buffer].width;
}

static inline uint8_t *q4_scratch(const struct q4_run *r, int member) {
    return r->s->scratch + (size_t)member * r->s->scratch_bytes;
}

static inline struct q4_range q4_token_range(const struct q4_run *r, const struct q4_op *op) {
    if (op->last && !r->call->all_logits)
        return (struct q4_range){r->call->n_tokens - 1, 1};
    return (struct q4_range){0, r->call->n_tokens};
}

// Whether that many tokens are few: GEMV kernels read their activations as they are quantised, unpacked.
static inline bool q4_few(const struct q4_run *r, struct q4_range range) { return range.n <= r->m->few_tokens; }

static inline const struct q4_step *q4_step_of(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    return q4_few(r, range) ? &op->few : &op->many;
}

// An operation met a value that is not finite.
void q4_report(struct q4_run *r, const struct q4_op *op, size_t token);

// Whether the call ends behind this operation, by what is known. Work that takes long asks between its parts, and
// leaves what is left.
static inline bool q4_call_ended(const struct q4_run *r, const struct q4_op *op) {
    return atomic_load_explicit(&r->last, memory_order_relaxed) <= (size_t)(op - r->m->plan);
}
bool q4_call_ends(struct q4_run *r, const struct q4_op *op, int member);

// One form of a buffer's activations, without what a kernel's packing made of it (quantize.c).
void q4_set_form(struct q4_acts *acts, const struct q4_buffer_data *data, enum q4_act_form form);
// n columns, whole blocks, of a QUANTIZE operation (quantize.c).
void q4_quantize_columns(struct q4_run *r, const struct q4_op *op, size_t token, size_t first, size_t n);
// Heads first .. first + n - 1 of a ROPE operation (rope.c).
void q4_rotate_heads(struct q4_run *r, const struct q4_op *op, size_t token, size_t first, size_t n);
// Rows first .. first + n - 1 of a MATMUL, for some tokens, to out[token][width] (matmul.c).
void q4_multiply_rows(struct q4_run *r, const struct q4_op *op, struct q4_range range, size_t first, size_t n,
                      float *out, size_t width, int member);
// Bytes of a thread's scratch that the kernels of an operation's weight want (matmul.c).
size_t q4_kernel_scratch(const struct q4_model *model, const struct q4_op *op);
// Whether what an operation takes for a choice of experts is always one that a ROUTER has made (router.c).
bool q4_check_routing(const struct q4_model *model, const struct q4_op *op, char *error);
// The first of the weights that the member will read after a MATMUL; nothing where many tokens meet them
// (prefetch.c).
struct q4_prefetch q4_next_weights(const struct q4_run *r, const struct q4_op *op, int member);

#endif
