// Proof that the tests can fail: kernels with one fault each, and a read past the end.
#define _GNU_SOURCE // POSIX beyond C11
#include "test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum fault { FAULT_BIT, FAULT_EXTRA_ROW, FAULT_MISSING_TOKEN, FAULT_SIGN, FAULT_OUTSIDE, FAULTS };
static const char *const fault_names[FAULTS] = {"self/one bit", "self/a row too many", "self/a token too few",
                                                "self/a sign", "self/outside y"};

static enum fault fault;
static const struct q4_kernel *victim;

static void flip(float *y, uint32_t mask) {
    uint32_t u;
    memcpy(&u, y, sizeof u);
    u ^= mask;
    memcpy(y, &u, sizeof u);
}

static void run_faulty(const struct q4_task *task) {
    struct q4_task t = *task;
    if (fault == FAULT_MISSING_TOKEN)
        t.n_tokens--;
    if (t.n_tokens)
        q4_run_kernel(victim, &t);
    float *last = t.y + (task->n_tokens - 1) * t.y_stride + task->n_rows - 1;
    bool neighbour = fault == FAULT_EXTRA_ROW && task->n_tokens > 1; // else the row would lie behind y
    if (neighbour)
        t.y[task->n_rows] = 1e30f;
    else if (fault == FAULT_BIT || fault == FAULT_EXTRA_ROW)
        flip(last, 1);
    if (fault == FAULT_SIGN)
        flip(last, 0x80000000u);
    const struct slot *y = &slots[SLOT_Y];
    if (fault == FAULT_OUTSIDE)
        *(y->p == y->base ? y->p + y->n : y->p - 1) = 0;
}

// Right when the matrix test finds the fault.
static bool fault_case(struct rng *r, const void *subject, char *what, size_t size) {
    fault = *(const enum fault *)subject;
    struct q4_kernel faulty = *victim;
    faulty.run = run_faulty;
    faulty.few = NULL;
    char found[400] = "";
    struct rng copy = *r;
    bool missed = matmul_case(&copy, &faulty, found, sizeof found);
    snprintf(what, size, "the fault was not found: %s", found);
    return !missed;
}

// Both kernels of every type, each with one bit wrong.
static void one_bit_of_each_type(void) {
    static const enum fault bit = FAULT_BIT;
    for (const struct q4_type *const *type = q4_types_base; *type; type++) {
        struct q4_kernel_pair pair = q4_select_kernels(*type, options.features);
        const struct q4_kernel *kernels[] = {pair.gemv, pair.gemm};
        for (size_t i = 0; i < 2; i++) {
            char name[80];
            victim = kernels[i];
            snprintf(name, sizeof name, "self/one bit of %s, %s", victim->name, i ? "many tokens" : "few tokens");
            run_cases(name, fault_case, &bit);
        }
    }
}

// A child reads one byte past (before) a slot's end (start): it must die of it.
static bool guard_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)subject;
    struct slot *slot = &slots[SLOT_AUX];
    slot_place(slot, r, 1 + rng_next(r) % 1000, 1);
    bool behind = slot->p != slot->base;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        fclose(stdout);
        close(1);
        volatile uint8_t *p = behind ? slot->p + slot->n : slot->p - 1;
        (void)*p;
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    snprintf(what, size, "a read %s guarded memory went unnoticed", behind ? "behind" : "before");
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void test_self(void) {
    size_t cases = options.cases;
    options.cases = q4_min_size(cases, 10);
    victim = q4_select_kernels(base_type(Q4_TYPE_Q4_0), options.features).gemm;
    for (enum fault f = 0; f < FAULTS; f++)
        run_cases(fault_names[f], fault_case, &f);
    one_bit_of_each_type();
    run_cases("self/guard pages", guard_case, NULL);
    options.cases = cases;
}
