#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool q4_plan_fail(char *error, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(error, Q4_ERROR_SIZE, format, values);
    va_end(values);
    return false;
}

bool q4_columns_fit(const struct q4_model *m, int buffer, size_t first, size_t n) {
    size_t width = m->buffers[buffer].width;
    return n > 0 && first <= width && n <= width - first;
}

// ---- what an operation touches -----------------------------------------------------------------

bool q4_op_reads(const struct q4_op *op, int buffer) {
    for (const struct q4_field *f = op->class->fields; f->name; f++)
        if ((f->offset == offsetof(struct q4_op, source) && op->source == buffer) ||
            (f->offset == offsetof(struct q4_op, routing) && op->routing == buffer))
            return true;
    bool adds = op->kind == Q4_OP_MATMUL || op->kind == Q4_OP_RMS_NORM ? op->add : op->kind == Q4_OP_EXPERTS_SUM;
    return adds && op->out == buffer;
}

bool q4_op_writes(const struct q4_op *op, int buffer) {
    for (const struct q4_field *f = op->class->fields; f->name; f++)
        if (f->offset == offsetof(struct q4_op, out) && op->out == buffer)
            return true;
    return (op->kind == Q4_OP_ROPE || op->kind == Q4_OP_CLAMP) && op->source == buffer;
}

// ---- fields -------------------------------------------------------------------------------------

struct index_range { // valid values of a field that is an index or a choice; nothing: any value is one
    const char *what;
    size_t n;
    bool optional;
};

static struct index_range range_of(const struct q4_model *m, enum q4_field_type type) {
    const struct index_range ranges[Q4_FIELD_TYPES] = {
        [Q4_FIELD_BUFFER] = {"buffer", m->n_buffers, false},
        [Q4_FIELD_WEIGHT] = {"weight", m->n_weights, false},
        [Q4_FIELD_VECTOR] = {"vector", m->n_vectors, false},
        [Q4_FIELD_ANY_VECTOR] = {"vector", m->n_vectors, true},
        [Q4_FIELD_TABLE] = {"table", m->n_tables, false},
        [Q4_FIELD_ROPE_TABLE] = {"RoPE table", m->n_rope_tables, false},
        [Q4_FIELD_ROPE_STYLE] = {"style of RoPE", Q4_ROPE_STYLES, false},
        [Q4_FIELD_ACTIVATION] = {"activation", Q4_ACTIVATIONS, false},
    };
    return ranges[type];
}

static bool check_fields(const struct q4_model *m, const struct q4_op *op, char *error) {
    for (const struct q4_field *f = op->class->fields; f->name; f++) {
        struct index_range range = range_of(m, f->type);
        if (range.what == NULL)
            continue;
        int index = *(const int *)(const void *)((const char *)op + f->offset);
        if ((index < 0 || (size_t)index >= range.n) && !(range.optional && index == Q4_NONE))
            return q4_plan_fail(error, "%s: no %s %d", op->name, range.what, index);
    }
    return true;
}

// ---- what the operations are together -----------------------------------------------------------

// Logits go straight to the caller, so their buffer has no memory.
static bool check_logits(struct q4_model *m, char *error) {
    struct q4_op *last = m->n_ops ? &m->plan[m->n_ops - 1] : NULL;
    if (last == NULL || last->kind != Q4_OP_MATMUL)
        return q4_plan_fail(error, "a plan ends with the matrix product that gives the logits");
    last->last = true;
    bool alone = !last->add && last->source != last->out && last->out_col == 0 &&
                 m->buffers[last->out].width == m->weights[last->weight].rows;
    for (const struct q4_op *op = m->plan; op < last; op++)
        for (const struct q4_field *f = op->class->fields; f->name; f++)
            if (f->type == Q4_FIELD_BUFFER && *(const int *)(const void *)((const char *)op + f->offset) == last->out)
                alone = false;
    return alone || q4_plan_fail(error, "the logits replace what was in their buffer, which no other operation uses");
}

enum served { NO_TOKEN, LAST_TOKEN, ALL_TOKENS };

struct filled { // what of a buffer there is at a place in the plan
    enum served floats, forms;
    size_t columns; // that have floats: the first ones
};

// Columns are written from the left to the right. What is written over in part is no longer whole, so that nobody needs
// what an operation that is fused into another does not store.
static void fill(const struct q4_model *m, const struct q4_op *op, int buffer, struct filled *b, enum served served) {
    size_t width = m->buffers[buffer].width;
    struct q4_range written = op->class->columns ? op->class->columns(m, op) : (struct q4_range){0, width};
    bool in_place = q4_op_reads(op, buffer), extends = written.first > 0 && written.first == b->columns;
    if (!in_place)
        b->columns = extends || written.first == 0 ? written.first + written.n : 0;
    b->floats = (in_place || extends) && b->floats < served ? b->floats : served;
    b->forms = NO_TOKEN;
}

static bool whole(const struct q4_model *m, int buffer, const struct filled *b, enum served served) {
    return b->floats >= served && b->columns == m->buffers[buffer].width;
}

// An operation reads what others have written before it in the same call, for the tokens that it serves. What an
// earlier call left there would make results depend on how a text is cut into calls.
static bool check_order_of(const struct q4_model *m, const struct q4_op *op, struct filled *buffers, char *error) {
    enum served served = op->last ? LAST_TOKEN : ALL_TOKENS;
    bool of_forms = (op->kind == Q4_OP_MATMUL || op->kind == Q4_OP_EXPERTS) &&
                    q4_act_traits[m->weights[op->weight].type->acts].block;
    for (int i = 0; (size_t)i < m->n_buffers; i++) {
        struct filled *b = &buffers[i];
        bool forms = of_forms && op->source == i;
        if ((forms && b->forms < served) || (!(forms && !op->add) && q4_op_reads(op, i) && !whole(m, i, b, served)))
            return q4_plan_fail(error, "%s: buffer %d is not %s for %s before it", op->name, i,
                                forms && b->forms < served ? "quantised" : "written",
                                op->last ? "the last token" : "all tokens");
    }
    for (int i = 0; (size_t)i < m->n_buffers; i++) {
        if (q4_op_writes(op, i))
            fill(m, op, i, &buffers[i], served);
        if (op->kind == Q4_OP_QUANTIZE && op->source == i)
            buffers[i].forms = served;
    }
    return true;
}

static bool check_order(const struct q4_model *m, char *error) {
    struct filled *buffers = calloc(m->n_buffers + 1, sizeof *buffers);
    bool ok = buffers || q4_plan_fail(error, "no memory to check the plan");
    for (size_t i = 0; ok && i < m->n_ops; i++)
        ok = check_order_of(m, &m->plan[i], buffers, error);
    free(buffers);
    return ok;
}

static bool check_buffers(struct q4_model *m, char *error) {
    for (size_t i = 0; i < m->n_buffers; i++) {
        struct q4_buffer *b = &m->buffers[i];
        b->block = 1;
        for (int f = 0; f < Q4_ACT_FORMS; f++)
            if (b->forms[f] && q4_act_traits[f].block)
                b->block = q4_common_multiple(b->block, q4_act_traits[f].block);
        if (b->width % b->block)
            return q4_plan_fail(error, "a buffer of %zu columns cannot be quantised", b->width);
    }
    return true;
}

bool q4_plan_check(struct q4_model *m, char *error) {
    char reason[Q4_ERROR_SIZE - Q4_NAME_SIZE - 2];
    for (size_t i = 0; i < m->n_ops; i++) {
        const struct q4_op *op = &m->plan[i];
        if (op->layer != Q4_NONE && (op->layer < 0 || (size_t)op->layer >= m->n_layers))
            return q4_plan_fail(error, "%s: no layer %d", op->name, op->layer);
        if (!check_fields(m, op, error))
            return false;
        if (!op->class->check(m, op, error)) {
            snprintf(reason, sizeof reason, "%s", error);
            return q4_plan_fail(error, "%s: %s", op->name, reason);
        }
    }
    return check_logits(m, error) && check_order(m, error) && check_buffers(m, error);
}
