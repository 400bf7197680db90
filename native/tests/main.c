// q4_kernel_test: every kernel and operation that this CPU can run, against the portable C.
#include "test.h"

#include <stdlib.h>

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
    report_faults();
    test_self();
    test_types();
    test_matmul();
    test_ops();
    test_attention();
    test_fp_environment();
    test_pages();
    test_threads();
    test_pmu();
    test_plan();
    test_interrupt();
    test_plan_edges();
    test_plan_mistakes();
    if (options.list)
        return 0;
    printf("%zu passed, %zu failed\n", outcome.passed, outcome.failed);
    return outcome.failed != 0 || outcome.passed == 0;
}
