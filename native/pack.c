// Packing: every weight from the mapped file into the arena, once, on all threads in one go. A thread takes a unit of
// panels (whatever weight they belong to), checks and packs each while it is in cache, and gives the mapped pages back,
// so that neither all of the file nor all of a large tensor is resident beside its packed copy.
#define _GNU_SOURCE
#include "model.h"
#include "pages.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// Source bytes of a unit: few enough that the threads end together, many enough that mapping and unmapping pages goes
// in long strides.
#define UNIT_BYTES ((size_t)1 << 20)

struct unit {
    uint32_t weight;
    size_t first, n; // panels
};

struct pack_job {
    const struct q4_model *model;
    const struct q4_sources *sources; // [weight]
    const struct unit *units;
    size_t n_units, n_gathered; // bytes of the largest panel's source rows
    bool release;
    struct q4_interrupt *interrupt;
    struct q4_page_watch pages;
    _Atomic uint64_t bad; // weight << 40 | row: the first that is not finite; UINT64_MAX: none
    _Atomic bool no_memory, interrupted;
};

static size_t row_bytes(const struct q4_weight *w) { return q4_row_bytes(w->type, w->k); }

// The tensors that a matrix's rows lie in, one below the other. own: room for the part of a tensor that an expert has.
static struct q4_sources sources_of(const struct pack_job *job, size_t weight, size_t matrix, struct q4_source *own) {
    const struct q4_weight *w = &job->model->weights[weight];
    struct q4_sources all = job->sources[weight];
    if (w->experts == 0)
        return all;
    size_t bytes = w->rows * row_bytes(w);
    *own = (struct q4_source){all.list[matrix % all.n].data + matrix / all.n * bytes, w->rows, bytes};
    return (struct q4_sources){own, 1};
}

// ---- pages --------------------------------------------------------------------------------------

static void advise_inner(const uint8_t *data, size_t bytes, int advice) {
    uintptr_t page = 4096, first = q4_round_up((uintptr_t)data, page), end = ((uintptr_t)data + bytes) & ~(page - 1);
    if (end > first)
        madvise((void *)first, end - first, advice);
}

// ---- one panel ----------------------------------------------------------------------------------

static void report(struct pack_job *job, size_t weight, size_t row) {
    uint64_t bad = (uint64_t)weight << 40 | row, seen = atomic_load(&job->bad);
    while (bad < seen && !atomic_compare_exchange_weak(&job->bad, &seen, bad))
        ;
}

// The panel's rows, one after the other: where they lie, or gathered where the panel straddles two tensors.
static const uint8_t *panel_rows(const struct q4_sources *sources, size_t row, size_t n, size_t bytes,
                                 uint8_t *gathered) {
    const struct q4_source *s = sources->list;
    while (row >= s->rows)
        row -= s++->rows;
    if (row + n <= s->rows)
        return s->data + row * bytes;
    for (size_t i = 0; i < n; i++) {
        while (row >= s->rows)
            row -= s++->rows;
        memcpy(gathered + i * bytes, s->data + row++ * bytes, bytes);
    }
    return gathered;
}

// The first row that has a weight that is not finite; n where all are.
static size_t bad_row(const struct q4_weight *w, const uint8_t *rows, size_t n) {
    size_t i = 0;
    while (i < n && w->type->finite(rows + i * row_bytes(w), w->k / w->type->columns))
        i++;
    return i;
}

static void pack_panel(struct pack_job *job, size_t weight, size_t panel, uint8_t *gathered) {
    const struct q4_weight *w = &job->model->weights[weight];
    const struct q4_layout *layout = w->kernels.gemv->layout;
    size_t matrix = panel / q4_panels(w), row = panel % q4_panels(w) * layout->rows;
    size_t n = q4_min_size(layout->rows, w->rows - row), bytes = row_bytes(w);
    struct q4_source own;
    struct q4_sources sources = sources_of(job, weight, matrix, &own);
    const uint8_t *rows = panel_rows(&sources, row, n, bytes, gathered);
    size_t bad = bad_row(w, rows, n);
    if (bad < n)
        report(job, weight, matrix * w->rows + row + bad);
    layout->pack(w->data + panel * q4_panel_bytes(layout, w->k), rows, bytes, n, w->k);
}

// ---- the team's walk ----------------------------------------------------------------------------

static void release_unit(const struct pack_job *job, const struct unit *u) {
    const struct q4_weight *w = &job->model->weights[u->weight];
    size_t rows = w->kernels.gemv->layout->rows, row = u->first % q4_panels(w) * rows, end = row + u->n * rows;
    struct q4_source own;
    struct q4_sources sources = sources_of(job, u->weight, u->first / q4_panels(w), &own);
    for (size_t i = 0, first = 0; i < sources.n; first += sources.list[i++].rows) {
        size_t from = row > first ? row - first : 0, to = end > first ? end - first : 0;
        to = q4_min_size(to, sources.list[i].rows);
        if (to > from)
            advise_inner(sources.list[i].data + from * row_bytes(w), (to - from) * row_bytes(w), MADV_DONTNEED);
    }
}

static void watch_unit(struct pack_job *job, const struct unit *u) {
    const struct q4_weight *w = &job->model->weights[u->weight];
    size_t panel = q4_panel_bytes(w->kernels.gemv->layout, w->k);
    q4_watch_fill(&job->pages, w->data + u->first * panel, u->n * panel);
}

static void pack_worker(void *context, int member) {
    struct pack_job *job = context;
    uint8_t *gathered = malloc(job->n_gathered);
    if (gathered == NULL)
        atomic_store(&job->no_memory, true);
    struct q4_units taken;
    while (gathered && !atomic_load_explicit(&job->interrupted, memory_order_relaxed) &&
           q4_team_take(job->model->team, member, job->n_units, 1, &taken)) {
        const struct unit *u = &job->units[taken.first];
        watch_unit(job, u);
        for (size_t p = u->first; p < u->first + u->n; p++)
            pack_panel(job, u->weight, p, gathered);
        if (job->release)
            release_unit(job, u);
        if (member == 0 && q4_interrupted(job->interrupt)) {
            q4_team_forked(job->model->team);
            atomic_store(&job->interrupted, true);
        }
    }
    free(gathered);
}

// All units in execution order, each of one matrix; with units NULL only their number.
static size_t list_units(const struct q4_model *model, struct unit *units) {
    size_t count = 0;
    for (size_t i = 0; i < model->n_weights; i++) {
        const struct q4_weight *w = &model->weights[i];
        size_t panels = q4_panels(w), per = 1 + UNIT_BYTES / (row_bytes(w) * w->kernels.gemv->layout->rows);
        for (size_t m = 0; m < w->matrices; m++)
            for (size_t p = 0; p < panels; p += per, count++)
                if (units)
                    units[count] = (struct unit){(uint32_t)i, m * panels + p, q4_min_size(per, panels - p)};
    }
    return count;
}

// Names the tensor, which is one part of the weight's name, and the row in it, or in an expert's part of it.
static void tell_bad_row(const struct q4_weight *w, struct q4_sources sources, size_t row, char *error) {
    char expert[40] = "";
    const char *name = w->name;
    size_t part = 0;
    if (w->experts) {
        part = row / w->rows % sources.n;
        snprintf(expert, sizeof expert, ", expert %zu", row / w->rows / sources.n);
        row %= w->rows;
    }
    for (; w->experts == 0 && part + 1 < sources.n && row >= sources.list[part].rows; part++)
        row -= sources.list[part].rows;
    for (const char *next; part > 0 && (next = strchr(name, '+')); part--)
        name = next + 1;
    snprintf(error, Q4_ERROR_SIZE, "tensor '%.*s'%s, row %zu: a weight is not finite", (int)strcspn(name, "+"), name,
             expert, row);
}

bool q4_model_pack(struct q4_model *model, const struct q4_sources *sources, bool release,
                   struct q4_interrupt *interrupt, char *error) {
    struct pack_job job = {
        .model = model, .sources = sources, .release = release, .interrupt = interrupt, .bad = UINT64_MAX};
    job.n_units = list_units(model, NULL);
    struct unit *units = calloc(job.n_units ? job.n_units : 1, sizeof *units);
    for (size_t i = 0; i < model->n_weights; i++) {
        size_t bytes = row_bytes(&model->weights[i]) * model->weights[i].kernels.gemv->layout->rows;
        job.n_gathered = bytes > job.n_gathered ? bytes : job.n_gathered;
    }
    if (units) {
        list_units(model, units);
        job.units = units;
        q4_watch_pages(&job.pages, model->arena, model->arena_bytes);
        q4_team_run(model->team, q4_team_size(model->team), pack_worker, &job);
        free(units);
    }
    // a fault maps pages around it, so a unit's neighbours may have come back after they were released
    for (size_t i = 0; release && i < model->n_weights; i++)
        for (size_t s = 0; s < sources[i].n; s++)
            advise_inner(sources[i].list[s].data, sources[i].list[s].rows * row_bytes(&model->weights[i]),
                         MADV_DONTNEED);
    uint64_t bad = atomic_load(&job.bad);
    if (units == NULL || atomic_load(&job.no_memory))
        snprintf(error, Q4_ERROR_SIZE, "no memory to pack weights with");
    else if (atomic_load(&job.interrupted))
        snprintf(error, Q4_ERROR_SIZE, "packing was interrupted");
    else if (bad != UINT64_MAX)
        tell_bad_row(&model->weights[bad >> 40], sources[bad >> 40], (size_t)(bad & (((uint64_t)1 << 40) - 1)), error);
    else
        return true;
    return false;
}
