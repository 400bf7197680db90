#include "build.h"

#include "cpu.h"
#include "execute/operations.h"
#include "execute/rope_table.h"
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CPU 1023
#define MAX_WIDTH (2 * Q4_MAX_ROWS) // of a buffer

static bool no_memory(char *error) { return q4_plan_fail(error, "no memory to build the model"); }

// An array of n elements, which may be none; NULL where there is no memory.
static void *new_array(size_t n, size_t size) { return calloc(n ? n : 1, size); }

static bool aligned(const void *p) { return (uintptr_t)p % sizeof(float) == 0; }

// The type in the model's variant; NULL with a message where there is none of that number.
static const struct q4_type *find_type(const struct q4_model *m, int number, const char *what, char *error) {
    const struct q4_type *type = q4_find_type(m->ops->types, number);
    if (type == NULL)
        q4_plan_fail(error, "%s has the type number %d, which the engine does not compute with", what, number);
    return type;
}

// Whether `bytes` is the size of that many rows of a type. Positive numbers of whole blocks are asked for.
static bool size_fits(const struct q4_type *type, size_t rows, size_t columns, size_t bytes) {
    size_t size;
    return rows > 0 && columns > 0 && columns % type->columns == 0 && columns <= SIZE_MAX / type->bytes &&
           q4_mul_size(q4_row_bytes(type, columns), rows, &size) && size == bytes;
}

static bool build_team(struct q4_model *m, const struct q4_model_spec *spec, char *error) {
    if (!q4_cpu_select(spec->features, &m->features, error, Q4_ERROR_SIZE))
        return false;
    m->ops = q4_arch_ops(m->features);
    int all = q4_spec_threads(spec);
    if (spec->n_threads < 1 || spec->n_threads_batch < 0 || all > Q4_MAX_THREADS)
        return q4_plan_fail(error, "the number of threads must be 1 to %d", Q4_MAX_THREADS);
    for (int i = 0; spec->cpus && i < all; i++)
        if (spec->cpus[i] < 0 || spec->cpus[i] > MAX_CPU)
            return q4_plan_fail(error, "CPU numbers must be 0 to %d", MAX_CPU);
    m->few_threads = spec->n_threads;
    m->many_threads = spec->n_threads_batch ? spec->n_threads_batch : spec->n_threads;
    m->team = q4_team_new(all, m->few_threads < m->many_threads ? m->few_threads : m->many_threads, spec->cpus);
    return m->team || q4_plan_fail(error, "threads could not be started");
}

static bool find_kv_form(struct q4_model *m, const struct q4_model_spec *spec, char *error) {
    for (int form = 0; form < Q4_KV_FORMS; form++)
        if (spec->kv_form == NULL || strcmp(spec->kv_form, q4_kv_traits[form].name) == 0) {
            m->kv_form = (enum q4_kv_form)form;
            return true;
        }
    return q4_plan_fail(error, "keys and values have no form of that name");
}

static bool build_tables(struct q4_model *m, const struct q4_model_spec *spec, char *error) {
    m->tables = new_array(spec->n_tables, sizeof *m->tables);
    if (m->tables == NULL)
        return no_memory(error);
    m->n_tables = spec->n_tables;
    for (size_t i = 0; i < m->n_tables; i++) {
        const struct q4_table_spec *from = &spec->tables[i];
        struct q4_table *t = &m->tables[i];
        const struct q4_type *type = find_type(m, from->type, "an embedding", error);
        if (type == NULL)
            return false;
        *t = (struct q4_table){.data = from->data, .type = type, .rows = from->rows, .columns = from->columns};
        t->row_bytes = q4_row_bytes(type, t->columns);
        if (!size_fits(type, t->rows, t->columns, from->bytes) || !aligned(t->data))
            return q4_plan_fail(error, "an embedding's size or alignment does not match its type and shape");
    }
    return true;
}

static bool build_vectors(struct q4_model *m, const struct q4_model_spec *spec, char *error) {
    m->vectors = new_array(spec->n_vectors, sizeof *m->vectors);
    if (m->vectors == NULL)
        return no_memory(error);
    m->n_vectors = spec->n_vectors;
    for (size_t i = 0; i < m->n_vectors; i++) {
        struct q4_vector *v = &m->vectors[i];
        v->n = spec->vectors[i].n;
        v->data = new_array(v->n, sizeof *v->data);
        if (v->data == NULL)
            return no_memory(error);
        if (v->n)
            memcpy(v->data, spec->vectors[i].data, v->n * sizeof *v->data);
    }
    return true;
}

// Angles with these factors, in a new array.
static bool build_frequencies(const struct q4_rope_spec *spec, struct q4_vector_spec factors, double **frequency,
                              char *error) {
    if (factors.data && factors.n != spec->dim / 2)
        return q4_plan_fail(error, "RoPE needs one factor a pair");
    *frequency = new_array(spec->dim / 2, sizeof **frequency);
    if (*frequency == NULL)
        return no_memory(error);
    uint64_t fp = q4_fp_enter();
    q4_rope_frequencies(*frequency, spec->dim, spec->base, factors.data);
    q4_fp_leave(fp);
    for (size_t i = 0; i < spec->dim / 2; i++)
        if (!((*frequency)[i] > 0.0 && (*frequency)[i] <= Q4_MAX_FREQUENCY))
            return q4_plan_fail(error, "a factor of RoPE is out of range");
    return true;
}

static bool build_rope_table(const struct q4_rope_spec *spec, struct q4_rope_table *table, char *error) {
    if (spec->dim == 0 || spec->dim % 2 || spec->dim > Q4_MAX_HEAD_DIM)
        return q4_plan_fail(error, "RoPE over %zu dimensions; an even number up to %d is needed", spec->dim,
                            Q4_MAX_HEAD_DIM);
    if (!(spec->base >= 1.0 && spec->base <= 1e30))
        return q4_plan_fail(error, "RoPE with the frequency base %g; 1 to 1e30 is supported", spec->base);
    if (!(spec->magnitude >= 0x1p-10 && spec->magnitude <= 0x1p10))
        return q4_plan_fail(error, "RoPE with cosines times %g", spec->magnitude);
    table->dim = spec->dim;
    table->magnitude = spec->magnitude;
    table->far_from = spec->far.data ? spec->far_from : SIZE_MAX;
    return build_frequencies(spec, spec->factors, &table->frequency, error) &&
           (spec->far.data == NULL || build_frequencies(spec, spec->far, &table->far_frequency, error));
}

static bool build_rope_tables(struct q4_model *m, const struct q4_model_spec *spec, char *error) {
    m->rope_tables = new_array(spec->n_rope_tables, sizeof *m->rope_tables);
    if (m->rope_tables == NULL)
        return no_memory(error);
    m->n_rope_tables = spec->n_rope_tables;
    for (size_t i = 0; i < m->n_rope_tables; i++)
        if (!build_rope_table(&spec->rope_tables[i], &m->rope_tables[i], error))
            return false;
    return true;
}

static bool build_buffers(struct q4_model *m, const struct q4_model_spec *spec, char *error) {
    m->buffers = new_array(spec->n_buffers, sizeof *m->buffers);
    if (m->buffers == NULL)
        return no_memory(error);
    m->n_buffers = spec->n_buffers;
    for (size_t i = 0; i < m->n_buffers; i++) {
        m->buffers[i].width = spec->buffers[i];
        if (spec->buffers[i] == 0 || spec->buffers[i] > MAX_WIDTH)
            return q4_plan_fail(error, "a buffer of %zu columns; 1 to %zu are supported", spec->buffers[i], MAX_WIDTH);
    }
    return true;
}

// One matrix, or those of experts: every source has one of each.
static bool cut_by_experts(struct q4_weight *w, const struct q4_weight_spec *spec, char *error) {
    size_t n = spec->sources.n, experts = spec->experts;
    w->matrices = 1;
    if (experts == 0)
        return true;
    for (size_t i = 0; i < n; i++)
        if (spec->sources.list[i].rows != spec->sources.list[0].rows || w->rows / n % experts)
            return q4_plan_fail(error, "%s: %zu rows are not those of %zu experts", w->name, spec->sources.list[i].rows,
                                experts);
    if (n == 0 || experts > Q4_MAX_EXPERTS)
        return q4_plan_fail(error, "%s: %zu matrices of %zu experts; at most %d experts are supported", w->name, n,
                            experts, Q4_MAX_EXPERTS);
    w->experts = experts;
    w->matrices = experts * n;
    w->rows /= w->matrices;
    return true;
}

static bool build_weight(const struct q4_model *m, struct q4_weight *w, const struct q4_weight_spec *spec,
                         char *error) {
    strncpy(w->name, spec->name, Q4_NAME_SIZE - 1);
    w->type = find_type(m, spec->type, w->name, error);
    if (w->type == NULL)
        return false;
    w->k = spec->columns;
    for (size_t i = 0; i < spec->sources.n; i++) {
        const struct q4_source *source = &spec->sources.list[i];
        if (!size_fits(w->type, source->rows, w->k, source->bytes) || !aligned(source->data) ||
            __builtin_add_overflow(w->rows, source->rows, &w->rows))
            return q4_plan_fail(error, "%s: a source's size or alignment does not match its type and shape", w->name);
    }
    return cut_by_experts(w, spec, error);
}

static bool build_weights(struct q4_model *m, const struct q4_model_spec *spec, char *error) {
    m->weights = new_array(spec->n_weights, sizeof *m->weights);
    if (m->weights == NULL)
        return no_memory(error);
    m->n_weights = spec->n_weights;
    for (size_t i = 0; i < m->n_weights; i++)
        if (!build_weight(m, &m->weights[i], &spec->weights[i], error))
            return false;
    return q4_model_place_weights(m, error);
}

static bool build_plan(struct q4_model *m, const struct q4_model_spec *spec, char *error) {
    if (spec->n_layers == 0 || spec->n_layers > Q4_MAX_LAYERS)
        return q4_plan_fail(error, "%zu layers; 1 to %d are supported", spec->n_layers, Q4_MAX_LAYERS);
    m->kv_shapes = new_array(spec->n_layers, sizeof *m->kv_shapes);
    m->plan = new_array(spec->n_ops, sizeof *m->plan);
    if (m->kv_shapes == NULL || m->plan == NULL)
        return no_memory(error);
    m->n_layers = spec->n_layers;
    m->n_ops = spec->n_ops;
    if (m->n_ops)
        memcpy(m->plan, spec->plan, m->n_ops * sizeof *m->plan);
    for (size_t i = 0; i < m->n_ops; i++) {
        struct q4_op *op = &m->plan[i];
        op->name[Q4_NAME_SIZE - 1] = '\0';
        if ((int)op->kind < 0 || op->kind >= Q4_OP_PLAIN_KINDS)
            return q4_plan_fail(error, "%s: no kind %d of operation", op->name, (int)op->kind);
        op->class = q4_operations[op->kind];
    }
    if (!q4_plan_check(m, error))
        return false;
    q4_plan_fuse(m, q4_operations[Q4_OP_GATE_UP], !spec->unfused);
    return true;
}

static bool pack(struct q4_model *m, const struct q4_model_spec *spec, char *error) {
    struct q4_sources *sources = new_array(m->n_weights, sizeof *sources);
    if (sources == NULL)
        return no_memory(error);
    for (size_t i = 0; i < m->n_weights; i++)
        sources[i] = spec->weights[i].sources;
    bool ok = q4_model_pack(m, sources, spec->release, spec->interrupt, error);
    free(sources);
    return ok;
}

bool q4_model_build(struct q4_model *m, const struct q4_model_spec *spec, char *error) {
    *m = (struct q4_model){0};
    if (build_team(m, spec, error) && find_kv_form(m, spec, error) && build_tables(m, spec, error) &&
        build_vectors(m, spec, error) && build_rope_tables(m, spec, error) && build_buffers(m, spec, error) &&
        build_weights(m, spec, error) && build_plan(m, spec, error) && pack(m, spec, error))
        return true;
    q4_model_clear(m);
    return false;
}
