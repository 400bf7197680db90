// Activations in the forms that matrix products read: a group of tokens a unit.
#include "run.h"

void q4_set_form(struct q4_acts *acts, const struct q4_buffer_data *data, enum q4_act_form form) {
    acts->q = data->q[form];
    acts->d = data->d[form];
    acts->sum = data->sum[form];
}

void q4_quantize_columns(struct q4_run *r, const struct q4_op *op, size_t token, size_t first, size_t n) {
    const struct q4_buffer *b = &r->m->buffers[op->source];
    const struct q4_buffer_data *data = &r->s->buffers[op->source];
    const float *x = q4_row(r, op->source, token) + first;
    size_t at = token * b->width + first;
    bool ok = true;
    for (int f = 0; f < Q4_ACT_FORMS; f++) {
        size_t block = q4_act_traits[f].block;
        if (b->forms[f] && block)
            ok &= r->m->ops->quantize[f](x, n, data->q[f] + at, data->d[f] + at / block,
                                         data->sum[f] ? data->sum[f] + at / block : NULL);
    }
    if (!ok)
        q4_report(r, op, token);
}

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    (void)m, (void)op, (void)error; // what its buffer is quantised to is the readers' matter
    return true;
}

// Tokens that are quantised together: whole tiles of every packing of the buffer, where they are packed.
static size_t group_of(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    const struct q4_buffer *b = &r->m->buffers[op->source];
    size_t group = 1;
    for (size_t i = 0; i < b->n_packings && !q4_few(r, range); i++)
        group = q4_common_multiple(group, b->packings[i]->tile);
    return group;
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    size_t group = group_of(r, op, range);
    return (range.n + group - 1) / group;
}

// Tiles start at token 0 of the batch.
static void quantize_group(struct q4_run *r, const struct q4_op *op, struct q4_range range, size_t unit) {
    const struct q4_buffer *b = &r->m->buffers[op->source];
    const struct q4_buffer_data *data = &r->s->buffers[op->source];
    size_t group = group_of(r, op, range), first = range.first + unit * group;
    size_t n = q4_min_size(group, range.first + range.n - first);
    for (size_t i = 0; i < n; i++)
        q4_quantize_columns(r, op, first + i, 0, b->width);
    if (q4_few(r, range))
        return;
    for (size_t p = 0; p < b->n_packings; p++) {
        const struct q4_act_packing *packing = b->packings[p];
        struct q4_acts acts = {.k = b->width};
        q4_set_form(&acts, data, packing->form);
        for (size_t t = first; t < first + n; t += packing->tile)
            packing->pack(data->packed[p] + t / packing->tile * packing->bytes(b->width), &acts, t,
                          q4_min_size(packing->tile, first + n - t));
    }
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    (void)member;
    for (size_t i = 0; i < units.n; i++)
        quantize_group(r, op, range, units.first + i);
}

const struct q4_op_class q4_op_quantize = {
    .name = "quantize",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, source), {0}},
    .check = check,
    .units = units,
    .work = work,
};
