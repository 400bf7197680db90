// Gate and up of a prompt, through to the next product's input: the thread that has 32 rows of both makes the quantised
// activations of them while they are in cache, and no floats are stored. The MATMUL stands for all three operations.
#include "run.h"

// One column block of the activations of some tokens, [token][Q4_BLOCK], on its way. In a thread's scratch.
struct column_block {
    float gate[Q4_GATE_UP_TOKENS * Q4_BLOCK], up[Q4_GATE_UP_TOKENS * Q4_BLOCK];
    int8_t q[Q4_GATE_UP_TOKENS * Q4_BLOCK];
    float d[Q4_GATE_UP_TOKENS];
    int32_t sum[Q4_GATE_UP_TOKENS];
};

static size_t scratch(const struct q4_model *m, const struct q4_op *op, size_t n_batch) {
    (void)n_batch;
    return q4_kernel_scratch(m, op) + q4_round_up(sizeof(struct column_block), 64);
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    (void)range;
    return r->m->weights[op->weight].rows / (2 * Q4_BLOCK);
}

static size_t most(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    (void)r, (void)op, (void)range;
    return 4;
}

static void quantize_block(struct q4_run *r, const struct q4_op *quantize, struct q4_range range,
                           struct column_block *c) {
    const struct q4_ops *ops = r->m->ops;
    if (ops->quantize[Q4_ACT_Q8](c->gate, range.n * Q4_BLOCK, c->q, c->d, c->sum))
        return;
    for (size_t t = 0; t < range.n; t++) // which of them?
        if (!ops->quantize[Q4_ACT_Q8](c->gate + t * Q4_BLOCK, Q4_BLOCK, c->q, c->d, c->sum))
            q4_report(r, quantize, range.first + t);
}

static void pack_block(struct q4_run *r, int buffer, struct q4_range range, size_t block,
                       const struct column_block *c) {
    const struct q4_buffer *b = &r->m->buffers[buffer];
    const struct q4_buffer_data *data = &r->s->buffers[buffer];
    const struct q4_acts acts = {.k = Q4_BLOCK, .q = c->q, .d = c->d, .sum = c->sum};
    for (size_t p = 0; p < b->n_packings; p++) {
        const struct q4_act_packing *packing = b->packings[p];
        for (size_t t = 0; t < range.n; t += packing->tile) {
            uint8_t *tile = data->packed[p] + (range.first + t) / packing->tile * packing->bytes(b->width);
            packing->pack(tile + block * packing->block_bytes, &acts, t, q4_min_size(packing->tile, range.n - t));
        }
    }
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    const struct q4_op *swiglu = op->many.activated, *quantize = op->many.quantized;
    size_t up = r->m->buffers[swiglu->out].width;
    uint8_t *end = q4_scratch(r, member + 1);
    struct column_block *c = (struct column_block *)(end - q4_round_up(sizeof *c, 64));
    struct q4_range part = range;
    for (size_t done = 0; done < range.n && (done == 0 || !q4_call_ends(r, op, member)); done += part.n) {
        part = (struct q4_range){range.first + done, q4_min_size(Q4_GATE_UP_TOKENS, range.n - done)};
        for (size_t block = units.first; block < units.first + units.n; block++) {
            q4_multiply_rows(r, op, part, block * Q4_BLOCK, Q4_BLOCK, c->gate, Q4_BLOCK, member);
            q4_multiply_rows(r, op, part, up + block * Q4_BLOCK, Q4_BLOCK, c->up, Q4_BLOCK, member);
            r->m->ops->gated[swiglu->activation](c->gate, c->gate, c->up, part.n * Q4_BLOCK);
            quantize_block(r, quantize, part, c);
            pack_block(r, swiglu->out, part, block, c);
        }
    }
}

const struct q4_op_class q4_op_gate_up = {
    .name = "gate_up",
    .fields = (const struct q4_field[]){{0}}, // those of the operations that it is made of
    .units = units,
    .most = most,
    .work = work,
    .lasts = true,
    .scratch = scratch,
};
