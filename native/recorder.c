#define _GNU_SOURCE
#include "recorder.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t q4_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct q4_recorder *q4_recorder_new(int n_threads, size_t n_ops, enum q4_record_level level, struct q4_pmu *pmu) {
    struct q4_recorder *r = calloc(1, sizeof *r);
    if (r == NULL) {
        q4_pmu_close(pmu);
        return NULL;
    }
    *r =
        (struct q4_recorder){.level = level, .emulated = q4_emulator_wants_marks(), .n_threads = n_threads, .pmu = pmu};
    r->n_marks = level == Q4_RECORD_CALLS ? 2 : 1 + 2 * n_ops;
    r->n_readings = level == Q4_RECORD_ALL_OPERATIONS ? r->n_marks : 2;
    size_t most = pmu ? q4_pmu_max_words(pmu) : 0;
    r->threads = calloc((size_t)n_threads, sizeof *r->threads);
    for (int i = 0; r->threads && i < n_threads; i++) {
        struct q4_thread_record *t = &r->threads[i];
        t->stamps = calloc(r->n_marks, sizeof *t->stamps);
        t->counts = most ? calloc(r->n_readings * most, sizeof *t->counts) : NULL;
        if (t->stamps == NULL || (most && t->counts == NULL)) {
            q4_recorder_free(r);
            return NULL;
        }
    }
    if (r->threads == NULL) {
        q4_recorder_free(r);
        return NULL;
    }
    return r;
}

void q4_recorder_free(struct q4_recorder *r) {
    if (r == NULL)
        return;
    for (int i = 0; r->threads && i < r->n_threads; i++) {
        free(r->threads[i].stamps);
        free(r->threads[i].counts);
    }
    free(r->threads);
    q4_pmu_close(r->pmu);
    free(r);
}

// Page faults and context switches of the calling thread so far; needs no permission.
static void thread_usage(int64_t *page_faults, int64_t *context_switches) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    *page_faults = (int64_t)usage.ru_minflt + usage.ru_majflt;
    *context_switches = (int64_t)usage.ru_nvcsw + usage.ru_nivcsw;
}

void q4_record_call_start(struct q4_recorder *r) {
    r->n_words = r->pmu ? q4_pmu_words(r->pmu) : 0;
    r->start_ns = q4_now_ns();
    if (r->emulated)
        q4_emulator_mark(Q4_EMULATOR_CALL, 0, r->start_ns);
}

void q4_record_call_stop(struct q4_recorder *r) {
    r->end_ns = q4_now_ns();
    if (r->emulated)
        q4_emulator_mark(Q4_EMULATOR_CALL, 0, r->end_ns);
}

void q4_record_start(struct q4_recorder *r, struct q4_thread_record *t) {
    int64_t faults, switches;
    thread_usage(&faults, &switches);
    static _Thread_local pid_t tid;
    if (tid == 0)
        tid = (pid_t)syscall(SYS_gettid);
    t->facts[Q4_FACT_TID] = tid;
    t->facts[Q4_FACT_FIRST_CPU] = sched_getcpu();
    t->facts[Q4_FACT_PAGE_FAULTS] = -faults;
    t->facts[Q4_FACT_CONTEXT_SWITCHES] = -switches;
    if (t->counts) {
        q4_pmu_start(r->pmu, (int)(t - r->threads));
        q4_pmu_read(r->pmu, (int)(t - r->threads), t->counts);
    }
    q4_record_stamp(r, t, 0);
    t->at = 1;
}

void q4_record_stop(struct q4_recorder *r, struct q4_thread_record *t) {
    if (r->level == Q4_RECORD_CALLS)
        q4_record_stamp(r, t, 1);
    if (t->counts && r->level != Q4_RECORD_ALL_OPERATIONS)
        q4_pmu_read(r->pmu, (int)(t - r->threads), t->counts + r->n_words);
    if (t->counts)
        q4_pmu_stop(r->pmu, (int)(t - r->threads));
    int64_t faults, switches;
    thread_usage(&faults, &switches);
    t->facts[Q4_FACT_LAST_CPU] = sched_getcpu();
    t->facts[Q4_FACT_PAGE_FAULTS] += faults;
    t->facts[Q4_FACT_CONTEXT_SWITCHES] += switches;
}

#define COST_ROUNDS 500

void q4_recorder_cost(struct q4_recorder *r, double *stamp_ns, double *read_ns) {
    uint64_t start = q4_now_ns(), last = start;
    for (int i = 0; i < COST_ROUNDS; i++)
        last = q4_now_ns();
    *stamp_ns = (double)(last - start) / COST_ROUNDS;
    *read_ns = 0;
    if (r->threads[0].counts == NULL)
        return;
    q4_pmu_start(r->pmu, 0);
    start = q4_now_ns();
    for (int i = 0; i < COST_ROUNDS; i++)
        q4_pmu_read(r->pmu, 0, r->threads[0].counts);
    *read_ns = (double)(q4_now_ns() - start) / COST_ROUNDS;
    q4_pmu_stop(r->pmu, 0);
}
