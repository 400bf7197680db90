#include "model.h"

#include <stdarg.h>
#include <stdio.h>

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
    return check_logits(m, error) && check_buffers(m, error);
}
