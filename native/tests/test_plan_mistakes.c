// Plans with mistakes in them: refused with a message, or they give the same bits fused and on their own. What is
// touched beside its place is for builds with AddressSanitizer to notice.
#define _GNU_SOURCE // POSIX beyond C11
#include "decoder.h"

#include "../execute/operations.h"
#include "../session.h"

#include <stdlib.h>
#include <time.h>

enum { PROTOTYPES = 64, MOST_TOKENS = 5, MOST_LOGITS = 1 << 16 };

static const int64_t numbers[] = {0,  1,   2,   3,     8,         31,        32,        33,    255,
                                  -1, 256, 257, 65536, INT32_MAX, INT32_MIN, INT64_MAX, -32768};

static int64_t any_number(struct rng *r) { return numbers[rng_next(r) % (sizeof numbers / sizeof *numbers)]; }

// Near the right one, or any.
static size_t any_size(struct rng *r, size_t right) {
    static const int steps[] = {-64, -32, -16, -8, -2, -1, 1, 2, 8, 16, 32, 64};
    switch (rng_next(r) % 4) {
    case 0:
        return right + (size_t)(ptrdiff_t)steps[rng_next(r) % 12];
    case 1:
        return rng_next(r) & 1 ? 2 * right : right / 2;
    default:
        return (size_t)any_number(r);
    }
}

static float any_float(struct rng *r) {
    static const float floats[] = {
        0.0f, -0.0f, 1.0f, -1.0f, 1e-30f, 1e30f, 3e38f, __builtin_inff(), __builtin_nanf("")};
    return floats[rng_next(r) % 9];
}

// ---- one mistake --------------------------------------------------------------------------------

static void change_field(struct rng *r, struct q4_op *op) {
    const struct q4_field *fields = q4_operations[op->kind]->fields, *f = fields;
    size_t n = 0;
    while (fields[n].name)
        n++;
    f = &fields[rng_next(r) % n];
    void *at = (char *)op + f->offset;
    if (f->type == Q4_FIELD_SIZE)
        *(size_t *)at = any_size(r, *(size_t *)at);
    else if (f->type == Q4_FIELD_FLOAT)
        *(float *)at = any_float(r);
    else if (f->type == Q4_FIELD_BOOL)
        *(bool *)at ^= true;
    else // an index or a choice
        *(int *)at = rng_next(r) % 4 ? (int)rng_range(r, 0, 8) - 1 : (int)any_number(r);
}

static void change_op(struct rng *r, struct decoder *d) {
    size_t i = rng_next(r) % d->spec.n_ops, j = rng_next(r) % d->spec.n_ops;
    struct q4_op *op = &d->plan[i], other;
    switch (rng_next(r) % 8) {
    case 0: // keeps the fields
        op->kind = (enum q4_op_kind)rng_range(r, 0, Q4_OP_PLAIN_KINDS - 1);
        break;
    case 1:
        op->layer = rng_next(r) & 1 ? (int)rng_range(r, 0, 3) - 1 : (int)any_number(r);
        break;
    case 2:
        op->last ^= true;
        break;
    case 3:
        other = *op, *op = d->plan[j], d->plan[j] = other;
        break;
    case 4:
        d->spec.n_ops--;
        memmove(op, op + 1, (d->spec.n_ops - i) * sizeof *op);
        break;
    case 5:
        if (d->spec.n_ops < MOST_OPS) {
            memmove(op + 1, op, (d->spec.n_ops - i) * sizeof *op);
            d->spec.n_ops++;
        }
        break;
    default:
        change_field(r, op);
    }
}

static void change_weight(struct rng *r, struct decoder *d) {
    size_t at = rng_next(r) % d->spec.n_weights;
    struct q4_weight_spec *w = &d->weights[at];
    struct q4_source *source = &d->sources[at][rng_next(r) % w->sources.n];
    switch (rng_next(r) % 6) {
    case 5:
        w->experts = any_size(r, w->experts);
        break;
    case 0:
        w->type = (int)(rng_next(r) & 1 ? (int64_t)rng_range(r, 0, 40) : any_number(r));
        break;
    case 1:
        w->columns = any_size(r, w->columns);
        break;
    case 2: // fewer rows, and the bytes of them
        if (source->rows > 1) {
            source->bytes = source->bytes / source->rows * (source->rows - 1);
            source->rows--;
        }
        break;
    case 3:
        source->rows = any_size(r, source->rows);
        break;
    default: // there are as many as it says
        source->bytes = rng_next(r) % (source->bytes + 1);
    }
}

static void change_part(struct rng *r, struct decoder *d) {
    struct q4_vector_spec *v = &d->vectors[rng_next(r) % d->spec.n_vectors];
    struct q4_rope_spec *rope = &d->rope_tables[rng_next(r) % 2];
    switch (rng_next(r) % 8) {
    case 0:
        d->buffers[rng_next(r) % d->spec.n_buffers] = any_size(r, d->buffers[0]);
        break;
    case 1:
        v->n = rng_next(r) % (v->n + 1);
        break;
    case 2:
        rope->dim = any_size(r, rope->dim);
        break;
    case 3:
        rope->base = any_float(r);
        break;
    case 4:
        rope->factors.n = rng_next(r) % (rope->factors.n + 1);
        break;
    case 5:
        d->table.type = (int)rng_range(r, 0, 40);
        break;
    case 6:
        d->table.rows = any_size(r, d->table.rows);
        break;
    default:
        d->table.columns = any_size(r, d->table.columns);
    }
}

static void change_spec(struct rng *r, struct decoder *d) {
    struct q4_model_spec *s = &d->spec;
    size_t *counts[] = {&s->n_tables, &s->n_vectors, &s->n_rope_tables, &s->n_weights, &s->n_buffers, &s->n_ops};
    switch (rng_next(r) % 4) {
    case 0: {
        size_t *n = counts[rng_next(r) % 6];
        *n = rng_next(r) % (*n + 1);
        break;
    }
    case 1:
        s->n_layers = rng_next(r) & 1 ? rng_range(r, 0, 4) : (size_t)any_number(r);
        break;
    case 2:
        *(rng_next(r) & 1 ? &s->n_threads : &s->n_threads_batch) = rng_next(r) & 1   ? 2
                                                                   : rng_next(r) & 1 ? -1
                                                                                     : INT32_MAX;
        break;
    default:
        s->features = rng_next(r) & 1 ? "none" : "avx9";
    }
}

static void make_mistake(struct rng *r, struct decoder *d) {
    uint64_t what = rng_next(r) % 8;
    if (what < 5 && d->spec.n_ops)
        change_op(r, d);
    else if (what == 5 && d->spec.n_weights)
        change_weight(r, d);
    else if (what == 6 && d->spec.n_buffers && d->spec.n_vectors)
        change_part(r, d);
    else
        change_spec(r, d);
}

// ---- one case -----------------------------------------------------------------------------------

static bool small(const struct decoder *d) {
    size_t n = 0;
    for (size_t i = 0; i < d->spec.n_weights; i++)
        for (size_t j = 0; j < d->weights[i].sources.n; j++)
            n += d->sources[i][j].rows * d->weights[i].columns;
    return n <= (d->wide ? 500000 : 30000);
}

static const struct decoder *prototype(size_t i) {
    static struct decoder made[PROTOTYPES];
    for (struct rng r = {i}; made[i].spec.n_ops == 0;) {
        make_decoder(&made[i], &r);
        if (!small(&made[i]) || (made[i].wide && i < PROTOTYPES / 2)) // K-quants are for the other half, and rarer
            free_decoder(&made[i]), made[i].spec.n_ops = 0;
    }
    return &made[i];
}

struct run {
    int32_t tokens[MOST_TOKENS];
    size_t n_ctx, n_batch, n_past;
    float *logits;
    size_t vocabulary; // what came of it
    bool built, done;
    char error[Q4_ERROR_SIZE];
};

static void run_model(const struct q4_model_spec *spec, struct run *run) {
    struct q4_model model;
    struct q4_session session;
    run->built = q4_model_build(&model, spec, run->error);
    if (!run->built)
        return;
    if (q4_session_init(&session, &model, run->n_ctx, run->n_batch, run->error)) {
        run->vocabulary = q4_session_vocabulary(&session);
        run->done = MOST_TOKENS * run->vocabulary <= MOST_LOGITS;
        if (run->done) // calls leave all rows out but their last
            memset(run->logits, 0, MOST_TOKENS * run->vocabulary * sizeof *run->logits);
        for (size_t at = 0, n; run->done && at < MOST_TOKENS; at += n) {
            n = q4_min_size(at == 0 ? 3 : 1, MOST_TOKENS - at);
            struct q4_call call = {.tokens = run->tokens + at, .n_tokens = n, .n_past = run->n_past + at};
            call.logits = run->logits + at * run->vocabulary;
            run->done = q4_session_decode(&session, &call, run->error);
        }
        q4_session_clear(&session);
    }
    q4_model_clear(&model);
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool compare(struct run *fused, struct run *alone, char *what, size_t size) {
    if (fused->built != alone->built || fused->done != alone->done)
        snprintf(what, size, "fused: '%s', unfused: '%s'", fused->error, alone->error);
    else if (!fused->done && fused->error[0] == '\0' && MOST_TOKENS * fused->vocabulary <= MOST_LOGITS)
        snprintf(what, size, "refused without a message");
    else
        return !fused->done ||
               same_bits(fused->logits, alone->logits, MOST_TOKENS * fused->vocabulary, sizeof(float), what, size);
    return false;
}

static size_t taken;

static bool mistaken_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)subject;
    static float logits[2][MOST_LOGITS];
    struct decoder d = *prototype(rng_next(r) % (rng_next(r) % 16 ? PROTOTYPES / 2 : PROTOTYPES));
    point_spec(&d);
    d.spec.n_threads = 1;
    d.spec.features = getenv("Q4_CPU_FEATURES");
    for (size_t n = rng_range(r, 0, 4); n > 0; n--)
        make_mistake(r, &d);
    struct run fused = {.n_ctx = 64, .n_batch = 8, .logits = logits[0]};
    if (rng_next(r) % 8 == 0)
        fused.n_ctx = (size_t)any_number(r), fused.n_batch = (size_t)any_number(r);
    fused.n_past = rng_next(r) % 4 ? 0 : rng_range(r, 0, 70);
    for (size_t i = 0; i < MOST_TOKENS; i++)
        fused.tokens[i] = (int32_t)rng_range(r, 0, d.vocabulary - (rng_next(r) % 64 != 0));
    struct run alone = fused;
    alone.logits = logits[1];
    double start = cpu_seconds();
    run_model(&d.spec, &fused);
    d.spec.unfused = true;
    run_model(&d.spec, &alone);
    taken += fused.done;
    double seconds = cpu_seconds() - start;
    bool ok = compare(&fused, &alone, what, size);
    if (ok && seconds > 1.0)
        snprintf(what, size, "took %.2f s of CPU time", seconds);
    return ok && seconds <= 1.0;
}

void test_plan_mistakes(void) {
    size_t cases = options.cases;
    options.cases = 4 * cases; // short ones
    run_cases("plan_mistakes", mistaken_case, NULL);
    options.cases = cases;
    if (taken)
        printf("     of these plans %zu were taken and run\n", taken);
}
