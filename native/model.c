#include "model.h"

#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const q4_op_kind_names[Q4_OP_KINDS] = {"embed", "rms_norm", "quantize",  "matmul",
                                                   "rope",  "kv_store", "attention", "swiglu"};

#define FAIL(...)                                                                                                      \
    do {                                                                                                               \
        snprintf(error, Q4_ERROR_SIZE, __VA_ARGS__);                                                                   \
        return false;                                                                                                  \
    } while (0)

// ---- weights ------------------------------------------------------------------------------------

static bool place_weight(struct q4_model *model, struct q4_weight *w, char *error) {
    w->kernels = q4_select_kernels(w->type, model->features);
    const struct q4_layout *layout = w->kernels.gemv->layout;
    if (w->rows == 0 || w->k == 0 || w->k % layout->block_columns)
        FAIL("%s: %zu rows of %zu columns; %s needs a positive number of rows and columns in multiples of %zu", w->name,
             w->rows, w->k, w->type->name, layout->block_columns);
    if (w->rows >= Q4_MAX_ROWS)
        FAIL("%s: %zu rows; fewer than %zu are supported", w->name, w->rows, Q4_MAX_ROWS);
    size_t panels = (w->rows + layout->rows - 1) / layout->rows, panel;
    if (!q4_mul_size(w->k / layout->block_columns, layout->block_bytes, &panel) ||
        !q4_mul_size(panels, panel, &w->bytes) || w->bytes > SIZE_MAX / 4)
        FAIL("%s: %zu rows of %zu columns are too many", w->name, w->rows, w->k);
    return true;
}

bool q4_model_place_weights(struct q4_model *model, char *error) {
    size_t total = 0;
    for (size_t i = 0; i < model->n_weights; i++) {
        if (!place_weight(model, &model->weights[i], error))
            return false;
        total = q4_round_up(total, 64) + model->weights[i].bytes;
    }
    // prefetching kernels may touch, never use, what lies a little behind the last weight
    model->arena_bytes = total + 64;
    model->arena = q4_alloc(model->arena_bytes, Q4_PAGES_HUGE);
    if (model->arena == NULL)
        FAIL("no memory for %zu bytes of packed weights", total);
    size_t at = 0;
    for (size_t i = 0; i < model->n_weights; i++) {
        at = q4_round_up(at, 64);
        model->weights[i].data = model->arena + at;
        at += model->weights[i].bytes;
    }
    return true;
}

// ---- the plan -----------------------------------------------------------------------------------

static bool in_range(int index, size_t n) { return index >= 0 && (size_t)index < n; }

static bool columns_fit(const struct q4_model *m, int buffer, size_t first, size_t n) {
    return in_range(buffer, m->n_buffers) && first <= m->buffers[buffer].width && n <= m->buffers[buffer].width - first;
}

static bool check_matmul(struct q4_model *m, const struct q4_op *op, char *error) {
    if (!in_range(op->weight, m->n_weights))
        FAIL("%s: no weight %d", op->name, op->weight);
    const struct q4_weight *w = &m->weights[op->weight];
    if (!columns_fit(m, op->in, 0, w->k) || m->buffers[op->in].width != w->k ||
        !columns_fit(m, op->out, op->out_col, w->rows))
        FAIL("%s: a %zu x %zu matrix does not fit its buffers", op->name, w->rows, w->k);
    if (op->vector != Q4_NONE && (!in_range(op->vector, m->n_vectors) || m->vectors[op->vector].n != w->rows))
        FAIL("%s: the bias does not have %zu elements", op->name, w->rows);
    struct q4_buffer *in = &m->buffers[op->in];
    in->forms[w->type->acts] = true;
    const struct q4_act_packing *packing = w->kernels.gemm->packing;
    for (size_t i = 0; packing && i < in->n_packings; i++)
        if (in->packings[i] == packing)
            return true;
    if (packing && in->n_packings == Q4_MAX_PACKINGS)
        FAIL("%s: more than %d kinds of weights read one buffer", op->name, Q4_MAX_PACKINGS);
    if (packing)
        in->packings[in->n_packings++] = packing;
    return true;
}

static bool check_op(struct q4_model *m, const struct q4_op *op, char *error) {
    const struct q4_params *p = &m->params;
    size_t q = p->n_heads * p->head_dim, kv = p->n_kv_heads * p->head_dim;
    bool layer = op->layer >= 0 && (size_t)op->layer < p->n_layers;
    bool ok = false;
    switch (op->kind) {
    case Q4_OP_EMBED:
        ok = in_range(op->table, m->n_tables) && columns_fit(m, op->out, 0, m->tables[op->table].columns);
        break;
    case Q4_OP_RMS_NORM:
        ok = in_range(op->in, m->n_buffers) && in_range(op->vector, m->n_vectors) &&
             m->vectors[op->vector].n == m->buffers[op->in].width && m->buffers[op->in].width > 0 &&
             columns_fit(m, op->out, 0, m->buffers[op->in].width);
        break;
    case Q4_OP_QUANTIZE:
        ok = in_range(op->in, m->n_buffers);
        break;
    case Q4_OP_MATMUL:
        return check_matmul(m, op, error);
    case Q4_OP_ROPE:
        ok = op->heads <= SIZE_MAX / p->head_dim && columns_fit(m, op->in, op->in_col, op->heads * p->head_dim);
        break;
    case Q4_OP_KV_STORE:
        ok = layer && columns_fit(m, op->in, op->in_col, kv) && columns_fit(m, op->in, op->out_col, kv);
        break;
    case Q4_OP_ATTENTION:
        ok = layer && columns_fit(m, op->in, op->in_col, q) && columns_fit(m, op->out, 0, q);
        break;
    case Q4_OP_SWIGLU:
        ok = in_range(op->out, m->n_buffers) && m->buffers[op->out].width > 0 &&
             columns_fit(m, op->in, 0, 2 * m->buffers[op->out].width);
        break;
    default:
        break;
    }
    if (!ok)
        FAIL("operation %s does not fit its buffers", op->name);
    return true;
}

static bool check_params(const struct q4_params *p, char *error) {
    if (p->n_layers == 0 || p->n_layers > Q4_MAX_LAYERS)
        FAIL("%zu layers; 1 to %d are supported", p->n_layers, Q4_MAX_LAYERS);
    if (p->n_heads == 0 || p->n_kv_heads == 0 || p->n_heads % p->n_kv_heads || p->n_heads > 65536)
        FAIL("%zu query heads cannot share %zu KV heads", p->n_heads, p->n_kv_heads);
    if (p->head_dim == 0 || p->head_dim > Q4_MAX_HEAD_DIM)
        FAIL("a head has %zu dimensions; 1 to %d are supported", p->head_dim, Q4_MAX_HEAD_DIM);
    if (p->rope_dim == 0 || p->rope_dim % 2 || p->rope_dim > p->head_dim)
        FAIL("RoPE over %zu of %zu dimensions; an even number is needed", p->rope_dim, p->head_dim);
    if (!(p->rope_base >= 1.0 && p->rope_base <= 1e30))
        FAIL("RoPE with the frequency base %g; 1 to 1e30 is supported", p->rope_base);
    if (!(p->eps > 0.0f && p->eps < 1.0f))
        FAIL("RMSNorm with epsilon %g", (double)p->eps);
    return true;
}

// Logits go straight to the caller, so their buffer has no memory.
static bool check_logits(struct q4_model *m) {
    struct q4_op *last = &m->plan[m->n_ops - 1];
    last->flags |= Q4_OP_LAST;
    for (const struct q4_op *op = m->plan; op < last; op++)
        if (op->in == last->out || op->out == last->out)
            return false;
    return !(last->flags & Q4_OP_ADD) && last->in != last->out && last->out_col == 0 &&
           m->buffers[last->out].width == m->weights[last->weight].rows;
}

static bool reads(const struct q4_op *op, int buffer) {
    return op->in == buffer || (op->kind == Q4_OP_MATMUL && op->flags & Q4_OP_ADD && op->out == buffer);
}

// Whether the floats of a buffer are written anew, by an operation of this kind that fills it, before any operation
// from `op` on reads them; the products of quantised activations do not, as long as they serve the same tokens.
static bool floats_unread(const struct q4_model *m, const struct q4_op *op, int buffer, enum q4_op_kind kind,
                          unsigned last) {
    const struct q4_op *end = m->plan + m->n_ops;
    for (; op < end; op++) {
        bool packed = op->kind == Q4_OP_MATMUL && op->out != buffer && (op->flags & Q4_OP_LAST) == last &&
                      m->weights[op->weight].kernels.gemm->packing;
        if (reads(op, buffer) && !packed)
            return false;
        if (op->out == buffer)
            return op->kind == kind &&
                   (kind != Q4_OP_MATMUL || m->weights[op->weight].rows == m->buffers[buffer].width);
    }
    return true;
}

static bool packed_in_q8_alone(const struct q4_buffer *b) {
    bool ok = b->forms[Q4_ACT_Q8] && !b->forms[Q4_ACT_Q8K] && !b->forms[Q4_ACT_F32] && b->n_packings > 0;
    for (size_t i = 0; i < b->n_packings; i++)
        ok = ok && Q4_THROUGH_TOKENS % b->packings[i]->tile == 0;
    return ok;
}

static bool goes_through(const struct q4_model *m, const struct q4_op *op) {
    const struct q4_op *swiglu = op + 1, *quantize = op + 2;
    if (op->kind != Q4_OP_MATMUL || quantize >= m->plan + m->n_ops || swiglu->kind != Q4_OP_SWIGLU ||
        quantize->kind != Q4_OP_QUANTIZE || swiglu->in != op->out || quantize->in != swiglu->out)
        return false;
    const struct q4_weight *w = &m->weights[op->weight];
    unsigned last = op->flags & Q4_OP_LAST;
    return op->out_col == 0 && w->rows == 2 * m->buffers[swiglu->out].width && op->in != op->out &&
           op->in != swiglu->out && op->out != swiglu->out && Q4_BLOCK % w->kernels.gemm->layout->rows == 0 &&
           (swiglu->flags & Q4_OP_LAST) == last && (quantize->flags & Q4_OP_LAST) == last &&
           packed_in_q8_alone(&m->buffers[swiglu->out]) &&
           floats_unread(m, quantize + 1, op->out, Q4_OP_MATMUL, last) &&
           floats_unread(m, quantize + 1, swiglu->out, Q4_OP_SWIGLU, last);
}

bool q4_model_check_plan(struct q4_model *m, char *error) {
    if (!check_params(&m->params, error))
        return false;
    for (size_t i = 0; i < m->n_tables; i++) {
        struct q4_table *t = &m->tables[i];
        if (t->columns == 0 || t->columns % t->type->columns)
            FAIL("an embedding of type %s with %zu columns", t->type->name, t->columns);
        t->row_bytes = q4_row_bytes(t->type, t->columns);
    }
    for (size_t i = 0; i < m->n_ops; i++)
        if (!check_op(m, &m->plan[i], error))
            return false;
    if (m->n_ops == 0 || m->plan[m->n_ops - 1].kind != Q4_OP_MATMUL)
        FAIL("a plan ends with the matrix product that gives the logits");
    if (!check_logits(m))
        FAIL("the logits replace what was in their buffer, which no other operation uses");
    for (size_t i = 0; i < m->n_buffers; i++) {
        struct q4_buffer *b = &m->buffers[i];
        b->block = 1;
        for (int f = 0; f < Q4_ACT_FORMS; f++)
            if (b->forms[f] && q4_act_traits[f].block)
                b->block = q4_common_multiple(b->block, q4_act_traits[f].block);
        if (b->width % b->block)
            FAIL("a buffer of %zu columns cannot be quantised", b->width);
    }
    for (size_t i = 0; i < m->n_ops; i++)
        m->plan[i].through = goes_through(m, &m->plan[i]);
    return true;
}

void q4_model_clear(struct q4_model *m) {
    q4_team_free(m->team);
    q4_free(m->arena, m->arena_bytes);
    for (size_t i = 0; m->vectors && i < m->n_vectors; i++)
        free(m->vectors[i].data);
    free(m->rope_frequency);
    free(m->weights);
    free(m->vectors);
    free(m->tables);
    free(m->buffers);
    free(m->plan);
    *m = (struct q4_model){0};
}
