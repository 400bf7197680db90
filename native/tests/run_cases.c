// Runs the cases of a test, each with a seed of its own that repeats it.
#define _GNU_SOURCE // POSIX beyond C11
#include "test.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

struct options options = {.cases = 150, .seconds = 1e9, .seed = 1};
struct outcome outcome;

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
    outcome.failed += bad;
    outcome.passed += n - bad;
    printf("%s %s: %zu cases, %.2f s\n", bad ? "FAIL" : "ok  ", name, n, now() - start);
    fflush(stdout);
}

void report_faults(void) {
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    signal(SIGILL, on_fault);
}
