// q4_kernel_test: every kernel and operation that this CPU can run, against the portable C.
#define _GNU_SOURCE // POSIX beyond C11
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct options options = {.cases = 150, .seconds = 1e9, .seed = 1};

static size_t passed, failed;
static char current[256]; // the case that runs, for the fault handler

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void on_fault(int signal) {
    static const char head[] = "FAIL: memory fault in ", tail[] = "\n";
    ssize_t ignored = write(1, head, sizeof head - 1);
    ignored += write(1, current, strlen(current));
    ignored += write(1, tail, sizeof tail - 1);
    (void)ignored;
    _exit(128 + signal);
}

static uint64_t hash_name(const char *name) {
    uint64_t h = 14695981039346656037u; // FNV-1a
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 1099511628211u;
    return h;
}

void run_cases(const char *name, test_case run, const void *subject) {
    if (options.filter && strstr(name, options.filter) == NULL)
        return;
    if (options.list) {
        printf("%s\n", name);
        return;
    }
    double start = now();
    size_t bad = 0, n = 0;
    for (; n < options.cases && (n == 0 || now() - start < options.seconds); n++) {
        uint64_t seed = options.seed + n;
        struct rng r = {hash_name(name) ^ seed * 0x9e3779b97f4a7c15u};
        char what[400] = "";
        snprintf(current, sizeof current, "%.200s (--seed %llu)", name, (unsigned long long)seed);
        if (!run(&r, subject, what, sizeof what) && bad++ < 3)
            printf("FAIL %s --seed %llu: %s\n", name, (unsigned long long)seed, what);
    }
    failed += bad;
    passed += n - bad;
    printf("%s %s: %zu cases, %.2f s\n", bad ? "FAIL" : "ok  ", name, n, now() - start);
    fflush(stdout);
}

static void usage(const char *program) {
    fprintf(stderr,
            "usage: %s [--list] [--cases N] [--seconds S] [--seed N] [FILTER]\n"
            "Tests whose names contain FILTER; --cases and --seconds are per test. A failing case is repeated with\n"
            "its --seed and --cases 1. Q4_CPU_FEATURES narrows the CPU's features.\n",
            program);
    exit(2);
}

static void parse(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--list") == 0)
            options.list = true;
        else if (argv[i][0] != '-' && options.filter == NULL)
            options.filter = argv[i];
        else if (strcmp(argv[i], "--cases") == 0 && value)
            options.cases = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0 && value)
            options.seconds = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "--seed") == 0 && value)
            options.seed = strtoull(argv[++i], NULL, 10);
        else
            usage(argv[0]);
    }
}

int main(int argc, char **argv) {
    char message[256];
    parse(argc, argv);
    if (!q4_cpu_select(getenv("Q4_CPU_FEATURES"), &options.features, message, sizeof message)) {
        fprintf(stderr, "error: %s\n", message);
        return 1;
    }
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    signal(SIGILL, on_fault);
    test_self();
    test_matmul();
    test_ops();
    test_attention();
    test_fp_environment();
    test_threads();
    test_pmu();
    if (options.list)
        return 0;
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
