// q4_kernel_bench: GEMV kernels against a streaming read, GEMM kernels against a loop of int8 products in registers,
// measured in turns, medians. See usage().
#define _GNU_SOURCE // POSIX beyond C11
#include "../cpu.h"
#include "../matmul/matmul.h"
#include "../memory.h"
#include "../probe.h"
#include "../threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ROUNDS 101

static struct {
    const char *filter;
    int threads;
    size_t rounds, k, tokens, megabytes;
    uint32_t features;
    bool best;
} options = {.threads = 1, .rounds = 7, .k = 1024, .megabytes = 128};

static q4_team *team;

// With -b and one thread the thread's own time: others' turns on the CPU do not count.
static double now(void) {
    struct timespec t;
    clock_gettime(options.best && options.threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Of n values, or with -b the smallest: what a busy machine would do if it were idle.
static double typical(double *x, size_t n) {
    qsort(x, n, sizeof *x, compare);
    return x[options.best ? 0 : n / 2];
}

// ---- work that the team shares ------------------------------------------------------------------
struct job {
    const struct q4_kernel *kernel;
    const struct q4_int8_peak *peak;
    struct q4_task task; // of the whole matrix
    size_t rows, chunk;  // rows a hand-out
    uint8_t *scratch;    // [member][scratch_bytes]
    size_t scratch_bytes, bytes, iterations;
};

static void work_kernel(void *context, int member) {
    const struct job *job = context;
    struct q4_units taken;
    while (q4_team_take(team, member, (job->rows + job->chunk - 1) / job->chunk, 1, &taken)) {
        size_t row = taken.first * job->chunk;
        struct q4_task t = job->task;
        t.n_rows = q4_min_size(job->chunk, job->rows - row);
        t.weights += row / job->kernel->layout->rows * q4_panel_bytes(job->kernel->layout, t.k);
        t.y += row;
        t.scratch = job->scratch + (size_t)member * job->scratch_bytes;
        q4_run_kernel(job->kernel, &t);
    }
    q4_team_barrier(team, member, 0, NULL);
}

static double timed(void (*work)(void *, int), struct job *job) {
    double start = now();
    q4_team_run(team, options.threads, work, job);
    return now() - start;
}

static bool is_gemv(const struct q4_kernel *kernel) { return kernel->max_tokens < SIZE_MAX; }

// By now(), which may be another clock than the probes' own.
static double timed_limit(const struct job *job) {
    double start = now();
    if (is_gemv(job->kernel))
        q4_probe_read(team, options.threads, job->task.weights, job->bytes);
    else
        q4_probe_int8(team, options.threads, job->peak, job->iterations);
    return now() - start;
}

// ---- operands -----------------------------------------------------------------------------------
static void *must(void *p) {
    if (p == NULL) {
        fprintf(stderr, "error: out of memory\n");
        exit(1);
    }
    return p;
}

static uint64_t random_bits(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 24;
}

// One panel of random rows, copied to all others: values do not change the speed, where they lie does.
static uint8_t *random_weights(const struct q4_layout *layout, size_t k, size_t rows) {
    size_t panel = q4_panel_bytes(layout, k), row_bytes = q4_row_bytes(q4_find_type(q4_types_base, layout->type), k);
    uint8_t *gguf = must(malloc(layout->rows * row_bytes));
    for (size_t i = 0; i < layout->rows * row_bytes; i++)
        gguf[i] = (uint8_t)random_bits() & 0x3f; // every fp16 in it is finite and small
    uint8_t *weights = must(q4_alloc(rows / layout->rows * panel, Q4_PAGES_HUGE));
    layout->pack(weights, gguf, row_bytes, layout->rows, k);
    for (size_t p = 1; p < rows / layout->rows; p++)
        memcpy(weights + p * panel, weights, panel);
    free(gguf);
    return weights;
}

static void random_acts(struct q4_acts *acts, int type, size_t k, size_t tokens) {
    float *x = must(calloc(k * tokens, sizeof *x));
    int8_t *q = must(calloc(k, tokens));
    float *d = must(calloc(k / 32 * tokens, sizeof *d));
    int32_t *sum = must(calloc(k / 32 * tokens, sizeof *sum));
    for (size_t i = 0; i < k * tokens; i++)
        x[i] = (float)(random_bits() % 2000) * 0.001f - 1.0f;
    enum q4_act_form form = q4_find_type(q4_types_base, type)->acts;
    if (q4_act_traits[form].block)
        q4_ops_base.quantize[form](x, k * tokens, q, d, sum);
    *acts = (struct q4_acts){.k = k, .x = x, .x_stride = k, .q = q, .d = d, .sum = sum};
}

static uint8_t *packed_acts(const struct q4_act_packing *packing, const struct q4_acts *acts, size_t tokens) {
    size_t tiles = (tokens + packing->tile - 1) / packing->tile, bytes = packing->bytes(acts->k);
    uint8_t *packed = must(q4_alloc(tiles * bytes, Q4_PAGES_HUGE));
    for (size_t t = 0; t < tiles; t++)
        packing->pack(packed + t * bytes, acts, t * packing->tile,
                      q4_min_size(packing->tile, tokens - t * packing->tile));
    return packed;
}

// ---- one kernel ---------------------------------------------------------------------------------
static void report(const struct job *job, double *mine, double *limit, size_t tokens) {
    double s = typical(mine, options.rounds), macs = (double)job->rows * (double)job->task.k * (double)tokens;
    if (is_gemv(job->kernel)) {
        double peak = typical(limit, options.rounds);
        printf("%-34s %7.2f GB/s, read %7.2f GB/s: %5.1f %%\n", job->kernel->name, (double)job->bytes / s * 1e-9,
               (double)job->bytes / peak * 1e-9, 100.0 * peak / s);
    } else if (job->peak) {
        double work = (double)job->peak->macs * (double)job->iterations * options.threads;
        double peak = work / typical(limit, options.rounds);
        printf("%-34s %7.1f GMAC/s, %s %7.1f GMAC/s: %5.1f %%\n", job->kernel->name, macs / s * 1e-9, job->peak->name,
               peak * 1e-9, 100.0 * macs / s / peak);
    } else {
        printf("%-34s %7.1f GMAC/s\n", job->kernel->name, macs / s * 1e-9);
    }
}

static void bench(const struct q4_kernel *kernel) {
    const struct q4_layout *layout = kernel->layout;
    size_t k = options.k / layout->block_columns * layout->block_columns;
    size_t tokens = options.tokens ? options.tokens : is_gemv(kernel) ? 1 : 78, panel = q4_panel_bytes(layout, k);
    tokens = q4_min_size(tokens, kernel->max_tokens);
    size_t panels = is_gemv(kernel) ? options.megabytes * 1000000 / panel : 2816 / layout->rows;
    struct q4_acts acts;
    struct job job = {.kernel = kernel, .rows = panels * layout->rows, .bytes = panels * panel};
    job.peak = kernel->features ? q4_int8_peak_for(kernel->features) : NULL;
    job.chunk = layout->rows * (is_gemv(kernel) ? 1 + 65536 / panel : 1 + 64 / layout->rows);
    job.scratch_bytes = kernel->scratch ? q4_round_up(kernel->scratch(k), 4096) : 4096;
    job.scratch = must(q4_alloc((size_t)options.threads * job.scratch_bytes, Q4_PAGES_HUGE));
    job.iterations = job.peak ? 400000000 / job.peak->macs : 0;
    random_acts(&acts, layout->type, k, tokens);
    if (kernel->packing)
        acts.packed = packed_acts(kernel->packing, &acts, tokens);
    float *y = must(q4_alloc(job.rows * tokens * sizeof *y, Q4_PAGES_HUGE));
    job.task = (struct q4_task){.weights = random_weights(layout, k, job.rows),
                                .k = k,
                                .n_tokens = tokens,
                                .acts = &acts,
                                .y = y,
                                .y_stride = job.rows,
                                .ops = q4_arch_ops(options.features)};
    double mine[MAX_ROUNDS], limit[MAX_ROUNDS] = {0};
    timed(work_kernel, &job);
    for (size_t i = 0; i < options.rounds; i++) {
        if (is_gemv(kernel) || job.peak)
            limit[i] = timed_limit(&job);
        mine[i] = timed(work_kernel, &job);
    }
    report(&job, mine, limit, tokens);
    fflush(stdout);
    if (acts.packed)
        q4_free((void *)acts.packed,
                (tokens + kernel->packing->tile - 1) / kernel->packing->tile * kernel->packing->bytes(k));
    q4_free((void *)job.task.weights, job.bytes);
    q4_free(job.scratch, (size_t)options.threads * job.scratch_bytes);
    free((void *)acts.x);
    free((void *)acts.q);
    free((void *)acts.d);
    free((void *)acts.sum);
    q4_free(y, job.rows * tokens * sizeof *y);
}

static void usage(const char *program) {
    fprintf(stderr,
            "usage: %s [-t THREADS] [-k COLUMNS] [-n TOKENS] [-m MEGABYTES] [-r ROUNDS] [-b] [FILTER]\n"
            "GEMV: a matrix of MEGABYTES, far more than any cache, times TOKENS (1, at most 8); GEMM: 2816 rows\n"
            "times TOKENS (78). Medians,\n"
            "or with -b the best of all rounds: what a busy machine would do if it were idle.\n"
            "Q4_CPU_FEATURES narrows the CPU's features.\n",
            program);
    exit(2);
}

static void parse(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        size_t value = i + 1 < argc ? strtoul(argv[i + 1], NULL, 10) : 0;
        if (strcmp(argv[i], "-b") == 0) {
            options.best = true;
            continue;
        }
        if (argv[i][0] != '-') {
            options.filter = argv[i];
            continue;
        }
        if (strlen(argv[i]) != 2 || value == 0)
            usage(argv[0]);
        switch (argv[i++][1]) {
        case 't':
            options.threads = (int)value;
            break;
        case 'k':
            options.k = value;
            break;
        case 'n':
            options.tokens = value;
            break;
        case 'm':
            options.megabytes = value;
            break;
        case 'r':
            options.rounds = q4_min_size(value, MAX_ROUNDS);
            break;
        default:
            usage(argv[0]);
        }
    }
}

int main(int argc, char **argv) {
    char message[256];
    parse(argc, argv);
    if (!q4_cpu_select(getenv("Q4_CPU_FEATURES"), &options.features, message, sizeof message)) {
        fprintf(stderr, "error: %s\n", message);
        return 1;
    }
    team = must(q4_team_new(options.threads, 1, NULL));
    for (const struct q4_kernel *k = q4_arch_kernels; k->name; k++)
        if ((k->features & ~options.features) == 0 && (!options.filter || strstr(k->name, options.filter)))
            bench(k);
    q4_team_free(team);
    return 0;
}
