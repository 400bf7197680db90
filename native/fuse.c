// All fusion, decided once, at load: which operations their neighbours do on the way. That saves barriers and trips to
// memory; the same functions compute the same bits in either place. Only operations that always serve the same tokens
// are fused.
#include "fuse.h"

static bool same_tokens(const struct q4_op *a, const struct q4_op *b) { return a->last == b->last; }

// ---- RoPE with the cache's store, for any number of tokens --------------------------------------

// Queries, then keys, in one piece, rotated where the keys are stored: by KV heads, each with its share of the queries.
// Values are none of what is rotated, else one head's might be stored before another head's unit rotates them.
static bool rotated_by_store(const struct q4_op *rope, const struct q4_op *store) {
    size_t end = rope->source_col + rope->heads * rope->head_dim;
    return rope->kind == Q4_OP_ROPE && store->kind == Q4_OP_KV_STORE && same_tokens(rope, store) &&
           rope->source == store->source && rope->head_dim == store->head_dim && rope->heads > store->heads &&
           rope->heads % store->heads == 0 &&
           store->key_col == rope->source_col + (rope->heads - store->heads) * rope->head_dim &&
           (store->value_col >= end || store->value_col + store->heads * store->head_dim <= rope->source_col);
}

// ---- quantising with what is quantised, for few tokens -------------------------------------------

// The units of `before` write whole blocks of what is quantised, and all of it.
static bool quantized_by(const struct q4_model *m, const struct q4_op *before, const struct q4_op *quantize) {
    const struct q4_buffer *b = quantize->kind == Q4_OP_QUANTIZE ? &m->buffers[quantize->source] : NULL;
    if (b == NULL || before->out != quantize->source || !same_tokens(before, quantize))
        return false;
    if (before->kind == Q4_OP_SWIGLU)
        return true;
    return before->kind == Q4_OP_ATTENTION && before->head_dim % b->block == 0 &&
           before->heads * before->head_dim == b->width;
}

// ---- gate and up, activation, quantising, for many tokens ---------------------------------------

// Whether the floats of a buffer are written anew, by an operation of this kind that fills it, before any operation
// from `op` on reads them; the products of quantised activations do not, as long as they serve the same tokens.
static bool floats_unread(const struct q4_model *m, const struct q4_op *op, int buffer, enum q4_op_kind kind,
                          bool last) {
    const struct q4_op *end = m->plan + m->n_ops;
    for (; op < end; op++) {
        bool packed = op->kind == Q4_OP_MATMUL && op->out != buffer && op->last == last &&
                      m->weights[op->weight].kernels.gemm->packing;
        if (q4_op_reads(op, buffer) && !packed)
            return false;
        if (q4_op_writes(op, buffer))
            return op->kind == kind &&
                   (kind != Q4_OP_MATMUL || m->weights[op->weight].rows == m->buffers[buffer].width);
    }
    return true;
}

static bool packed_in_q8_alone(const struct q4_buffer *b) {
    bool ok = b->forms[Q4_ACT_Q8] && !b->forms[Q4_ACT_Q8K] && !b->forms[Q4_ACT_F32] && b->n_packings > 0;
    for (size_t i = 0; i < b->n_packings; i++)
        ok = ok && Q4_GATE_UP_TOKENS % b->packings[i]->tile == 0;
    return ok;
}

// op, op + 1 and op + 2 are a product, its activation and the quantising of that, and nothing else reads what they
// would store.
static bool makes_gate_up(const struct q4_model *m, const struct q4_op *op) {
    const struct q4_op *swiglu = op + 1, *quantize = op + 2;
    if (op->kind != Q4_OP_MATMUL || quantize >= m->plan + m->n_ops || swiglu->kind != Q4_OP_SWIGLU ||
        quantize->kind != Q4_OP_QUANTIZE || swiglu->source != op->out || quantize->source != swiglu->out ||
        !same_tokens(op, swiglu) || !same_tokens(op, quantize) || op->add)
        return false;
    const struct q4_weight *w = &m->weights[op->weight];
    return op->out_col == 0 && w->rows == 2 * m->buffers[swiglu->out].width && op->source != op->out &&
           op->source != swiglu->out && Q4_BLOCK % w->kernels.gemm->layout->rows == 0 &&
           packed_in_q8_alone(&m->buffers[swiglu->out]) &&
           floats_unread(m, quantize + 1, op->out, Q4_OP_MATMUL, op->last) &&
           floats_unread(m, quantize + 1, swiglu->out, Q4_OP_SWIGLU, op->last);
}

// ---- the plan -----------------------------------------------------------------------------------

static void fuse_pairs(const struct q4_model *m, struct q4_op *op) {
    struct q4_op *next = op + 1;
    if (rotated_by_store(op, next)) {
        op->few.class = op->many.class = NULL;
        next->few.rotated = next->many.rotated = op;
    }
    if (quantized_by(m, op, next)) {
        op->few.quantized = next;
        next->few.class = NULL;
    }
}

void q4_plan_fuse(struct q4_model *m, const struct q4_op_class *gate_up, bool fuse) {
    const struct q4_op *product = NULL;
    for (struct q4_op *op = m->plan + m->n_ops; op-- > m->plan;) {
        op->few = op->many = (struct q4_step){.class = op->class};
        op->next_product = product;
        product = op->kind == Q4_OP_MATMUL ? op : op->kind == Q4_OP_EXPERTS ? NULL : product;
    }
    struct q4_op *end = m->plan + m->n_ops;
    for (struct q4_op *op = m->plan; op < end; op++)
        if (op->kind == Q4_OP_EXPERTS)
            op->tally = m->n_tallies++;
    for (struct q4_op *op = m->plan; fuse && op + 1 < end; op++) {
        fuse_pairs(m, op);
        if (makes_gate_up(m, op)) {
            op->many = (struct q4_step){.class = gate_up, .activated = op + 1, .quantized = op + 2};
            op[1].many.class = op[2].many.class = NULL;
        }
    }
}
