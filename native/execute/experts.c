// Products with the matrices of each token's own experts. A weight has `parts` matrices an expert (gate and up are
// two); out is [part][chosen expert][row] from out_col on. The source is what all of a token's experts read, or has a
// piece for each of them.
//
// A single token goes through the rows of its experts one after the other. Tokens of a prompt that go to the same
// expert are gathered by whoever has some rows of it, so that its weights are read once for all of them.
#include "run.h"

#include <string.h>

#define PROMPT_ROWS ((size_t)512)  // a unit: gathering and packing are little beside so many
#define PROMPT_TOKENS ((size_t)96) // gathered at once

static size_t parts_of(const struct q4_weight *w) { return w->matrices / w->experts; }

static size_t unit_rows(struct q4_range range) { return range.n == 1 ? Q4_MAX_PANEL_ROWS : PROMPT_ROWS; }

static size_t chunks_of(const struct q4_weight *w, struct q4_range range) {
    return (w->rows + unit_rows(range) - 1) / unit_rows(range);
}

static size_t units(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    return (range.n == 1 ? op->used * parts_of(w) : w->matrices) * chunks_of(w, range);
}

static size_t most(const struct q4_run *r, const struct q4_op *op, struct q4_range range) {
    (void)r, (void)op;
    return range.n == 1 ? 16 : 1;
}

// Whether so many tokens of an expert are GEMV's.
static bool is_few(const struct q4_weight *w, size_t n_tokens) { return n_tokens <= w->kernels.gemv->max_tokens; }

// ---- activations --------------------------------------------------------------------------------

struct chosen { // a token, and which of its experts it is about
    uint32_t token, slot;
};

// The row of the source that a chosen expert reads, the source seen as rows of the weight's columns.
static size_t source_row(const struct q4_run *r, const struct q4_op *op, struct chosen c) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    return r->m->buffers[op->source].width == w->k ? c.token : (size_t)c.token * op->used + c.slot;
}

static struct q4_acts acts_of(const struct q4_run *r, const struct q4_op *op, struct chosen c) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    const struct q4_buffer_data *data = &r->s->buffers[op->source];
    size_t row = source_row(r, op, c), block = q4_act_traits[w->type->acts].block;
    struct q4_acts acts = {.k = w->k, .x = data->x + row * w->k, .x_stride = w->k};
    if (block) {
        q4_set_form(&acts, data, w->type->acts);
        acts.q += row * w->k;
        acts.d += row * (w->k / block);
        acts.sum = acts.sum ? acts.sum + row * (w->k / block) : NULL;
    }
    return acts;
}

// Of some tokens, one behind the other; what the kernel made of them; and what it made. In a thread's scratch, behind
// the kernel's.
struct gathered {
    struct chosen *list; // of all tokens of the call
    float *x;
    int8_t *q;
    float *d;
    int32_t *sum;
    uint8_t *packed;
    float *y;
};

static void *carve(uint8_t *base, size_t *used, size_t count, size_t size) {
    size_t at = *used;
    *used = q4_round_up(at + count * size, 64);
    return base ? base + at : NULL;
}

// Its bytes, with what is before it; with base, the places. The scratch's owner has as many bytes as for n_batch.
static size_t place(const struct q4_model *m, const struct q4_op *op, size_t n_batch, uint8_t *base,
                    struct gathered *g) {
    const struct q4_weight *w = &m->weights[op->weight];
    const struct q4_act_packing *packing = w->kernels.gemm->packing;
    struct q4_act_traits form = q4_act_traits[w->type->acts];
    size_t used = q4_kernel_scratch(m, op), n = q4_min_size(n_batch, PROMPT_TOKENS);
    size_t blocks = form.block ? n * (w->k / form.block) : 0;
    *g = (struct gathered){0};
    g->list = carve(base, &used, n_batch, sizeof *g->list);
    g->x = carve(base, &used, form.block ? 0 : n * w->k, sizeof *g->x);
    g->q = carve(base, &used, form.block ? n * w->k : 0, 1);
    g->d = carve(base, &used, blocks, sizeof *g->d);
    g->sum = carve(base, &used, form.sums ? blocks : 0, sizeof *g->sum);
    g->packed =
        carve(base, &used, packing ? (n + packing->tile - 1) / packing->tile : 0, packing ? packing->bytes(w->k) : 0);
    g->y = carve(base, &used, n * q4_min_size(w->rows, PROMPT_ROWS), sizeof *g->y);
    return used;
}

static size_t scratch(const struct q4_model *m, const struct q4_op *op, size_t n_batch) {
    struct gathered g;
    return place(m, op, n_batch, NULL, &g);
}

static struct q4_acts gather(const struct q4_run *r, const struct q4_op *op, const struct chosen *list, size_t n,
                             const struct gathered *g) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    struct q4_act_traits form = q4_act_traits[w->type->acts];
    size_t blocks = form.block ? w->k / form.block : 0;
    for (size_t i = 0; i < n; i++) {
        struct q4_acts from = acts_of(r, op, list[i]);
        if (form.block == 0) {
            memcpy(g->x + i * w->k, from.x, w->k * sizeof *from.x);
            continue;
        }
        memcpy(g->q + i * w->k, from.q, w->k);
        memcpy(g->d + i * blocks, from.d, blocks * sizeof *from.d);
        if (form.sums)
            memcpy(g->sum + i * blocks, from.sum, blocks * sizeof *from.sum);
    }
    struct q4_acts acts = {.k = w->k, .x = g->x, .x_stride = w->k, .q = g->q, .d = g->d, .sum = g->sum};
    const struct q4_act_packing *packing = w->kernels.gemm->packing;
    for (size_t t = 0; packing && !is_few(w, n) && t < n; t += packing->tile)
        packing->pack(g->packed + t / packing->tile * packing->bytes(w->k), &acts, t,
                      q4_min_size(packing->tile, n - t));
    acts.packed = g->packed;
    return acts;
}

// ---- products -----------------------------------------------------------------------------------

// n rows of a matrix from `first` on, for some tokens.
static void multiply(struct q4_run *r, const struct q4_weight *w, size_t matrix, size_t first, size_t n,
                     const struct q4_acts *acts, size_t n_tokens, float *y, size_t y_stride, uint8_t *scratch) {
    const struct q4_kernel *kernel = is_few(w, n_tokens) ? w->kernels.gemv : w->kernels.gemm;
    struct q4_task task = {
        .weights = q4_matrix(w, matrix) + first / kernel->layout->rows * q4_panel_bytes(kernel->layout, w->k),
        .k = w->k,
        .n_rows = n,
        .n_tokens = n_tokens,
        .acts = acts,
        .y = y,
        .y_stride = y_stride,
        .scratch = scratch,
        .ops = r->m->ops,
    };
    q4_run_kernel(kernel, &task);
}

// A piece is a part of a chosen expert; its rows are a piece of out.
static void multiply_token(struct q4_run *r, const struct q4_op *op, size_t token, struct q4_range range,
                           struct q4_units units, int member) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    const float *routing = q4_row(r, op->routing, token);
    float *out = q4_row(r, op->out, token) + op->out_col;
    size_t chunks = chunks_of(w, range), end = units.first + units.n;
    for (size_t unit = units.first, next; unit < end; unit = next) {
        size_t piece = unit / chunks, part = piece / op->used, slot = piece % op->used;
        next = q4_min_size(end, (piece + 1) * chunks);
        size_t first = unit % chunks * Q4_MAX_PANEL_ROWS;
        size_t n = q4_min_size((next - unit) * Q4_MAX_PANEL_ROWS, w->rows - first);
        struct q4_acts acts = acts_of(r, op, (struct chosen){(uint32_t)token, (uint32_t)slot});
        size_t matrix = (size_t)routing[slot] * parts_of(w) + part;
        multiply(r, w, matrix, first, n, &acts, 1, out + piece * w->rows + first, n, q4_scratch(r, member));
    }
}

// The tokens that go to an expert, in their order.
static size_t tokens_of(const struct q4_run *r, const struct q4_op *op, struct q4_range range, size_t expert,
                        struct chosen *list) {
    size_t n = 0;
    for (size_t token = range.first; token < range.first + range.n; token++) {
        const float *routing = q4_row(r, op->routing, token);
        for (size_t slot = 0; slot < op->used; slot++)
            if (routing[slot] == (float)expert)
                list[n++] = (struct chosen){(uint32_t)token, (uint32_t)slot};
    }
    return n;
}

// Some rows of one matrix, for all tokens that go to its expert.
static void multiply_prompt(struct q4_run *r, const struct q4_op *op, struct q4_range range, size_t unit, int member) {
    const struct q4_weight *w = &r->m->weights[op->weight];
    size_t chunks = chunks_of(w, range), matrix = unit / chunks, part = matrix % parts_of(w);
    size_t first = unit % chunks * PROMPT_ROWS, n_rows = q4_min_size(PROMPT_ROWS, w->rows - first);
    struct gathered g;
    place(r->m, op, r->s->n_batch, q4_scratch(r, member), &g);
    size_t all = tokens_of(r, op, range, matrix / parts_of(w), g.list);
    if (all && first == 0 && part == 0)
        atomic_fetch_add_explicit(&r->s->tallies[op->tally], 1, memory_order_relaxed);
    for (size_t done = 0, n; done < all && (done == 0 || !q4_call_ends(r, op, member)); done += n) {
        const struct chosen *list = g.list + done;
        n = q4_min_size(PROMPT_TOKENS, all - done);
        struct q4_acts acts = gather(r, op, list, n, &g);
        multiply(r, w, matrix, first, n_rows, &acts, n, g.y, n_rows, q4_scratch(r, member));
        for (size_t i = 0; i < n; i++) {
            size_t piece = part * op->used + list[i].slot;
            memcpy(q4_row(r, op->out, list[i].token) + op->out_col + piece * w->rows + first, g.y + i * n_rows,
                   n_rows * sizeof *g.y);
        }
    }
}

static void work(struct q4_run *r, const struct q4_op *op, struct q4_range range, struct q4_units units, int member) {
    if (range.n == 1 && units.first == 0)
        atomic_store_explicit(&r->s->tallies[op->tally], (uint32_t)op->used, memory_order_relaxed);
    if (range.n == 1)
        multiply_token(r, op, range.first, range, units, member);
    for (size_t i = 0; range.n > 1 && i < units.n; i++)
        multiply_prompt(r, op, range, units.first + i, member);
}

// ---- at load ------------------------------------------------------------------------------------

static struct q4_range columns(const struct q4_model *m, const struct q4_op *op) {
    const struct q4_weight *w = &m->weights[op->weight];
    return (struct q4_range){op->out_col, parts_of(w) * op->used * w->rows};
}

static bool check(struct q4_model *m, const struct q4_op *op, char *error) {
    const struct q4_weight *w = &m->weights[op->weight];
    if (w->experts == 0 || w->experts != op->experts || op->used == 0 || op->used > op->experts)
        return q4_plan_fail(error, "%zu of %zu experts, whose weight has those of %zu", op->used, op->experts,
                            w->experts);
    size_t width = m->buffers[op->source].width;
    if ((width != w->k && width != op->used * w->k) || !q4_columns_fit(m, op->out, op->out_col, columns(m, op).n))
        return q4_plan_fail(error, "%zu matrices of %zu x %zu do not fit their buffers", parts_of(w), w->rows, w->k);
    if (op->source == op->out || op->source == op->routing)
        return q4_plan_fail(error, "a product cannot replace its own input");
    // a unit has 8 rows at least, or is a matrix
    if (w->matrices > Q4_MAX_UNITS / ((w->rows + 7) / 8))
        return q4_plan_fail(error, "%zu matrices of %zu rows are too many", w->matrices, w->rows);
    m->buffers[op->source].forms[w->type->acts] = true;
    return q4_check_routing(m, op, error);
}

const struct q4_op_class q4_op_experts = {
    .name = "experts",
    .fields = (const struct q4_field[]){Q4_FIELD(BUFFER, source),
                                        Q4_FIELD(BUFFER, routing),
                                        Q4_FIELD(BUFFER, out),
                                        Q4_FIELD(SIZE, out_col),
                                        Q4_FIELD(WEIGHT, weight),
                                        Q4_FIELD(SIZE, experts),
                                        Q4_FIELD(SIZE, used),
                                        {0}},
    .check = check,
    .columns = columns,
    .units = units,
    .most = most,
    .work = work,
    .lasts = true,
    .scratch = scratch,
};
