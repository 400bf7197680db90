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

// ---- attention (execute_attention.c) ------------------------------------------------------------
size_t q4_attention_units(const struct run *r, struct range range);
void q4_attention_unit(struct run *r, const struct q4_op *op, struct range range, size_t unit, int member);

#endif
