// What a call leaves behind for captures: when each thread reached each operation, and what its counters said there.
//
// A thread marks 1 + 2 * n_ops boundaries: the start of its walk, then for each operation the end of its own work and
// the end of the barrier behind it. One operation's end is the next one's start, so a mark costs one look at the clock.
// Counters are read there as well, or only at the two ends of the walk: a reading is a system call.
#ifndef Q4_RECORDER_H
#define Q4_RECORDER_H

#include "emulator.h"
#include "pmu.h"
#include "threads.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum q4_thread_fact {
    Q4_FACT_TID,
    Q4_FACT_FIRST_CPU, // on which the thread began and ended its part of the call
    Q4_FACT_LAST_CPU,
    Q4_FACT_PAGE_FAULTS, // of the thread, during its part of the call
    Q4_FACT_CONTEXT_SWITCHES,
    Q4_THREAD_FACTS
};

struct q4_thread_record {
    uint64_t *stamps; // [n_marks], CLOCK_MONOTONIC_RAW nanoseconds
    uint64_t *counts; // [n_readings][pmu words], cumulative; NULL without counters
    size_t at;        // the next mark
    int64_t facts[Q4_THREAD_FACTS];
    char padding[64]; // neighbours belong to other threads
};

enum q4_record_level {
    Q4_RECORD_CALLS = 1,      // stamps and readings at the two ends of each thread's walk
    Q4_RECORD_OPERATIONS,     // stamps at every operation, readings at the two ends
    Q4_RECORD_ALL_OPERATIONS, // both at every operation
};

struct q4_recorder {
    uint64_t start_ns, end_ns; // of the last call that succeeded
    enum q4_record_level level;
    bool emulated; // an emulator's plugin is told of every stamp
    size_t n_marks, n_readings, n_words;
    int n_threads;
    struct q4_pmu *pmu; // owned; NULL: no counters
    struct q4_thread_record *threads;
};

// Takes over pmu, which may be NULL. NULL when there is no memory; pmu is closed then too.
struct q4_recorder *q4_recorder_new(int n_threads, size_t n_ops, enum q4_record_level level, struct q4_pmu *pmu);
void q4_recorder_free(struct q4_recorder *recorder);

// Around a call, on the thread that makes it.
void q4_record_call_start(struct q4_recorder *recorder);
void q4_record_call_stop(struct q4_recorder *recorder);
// On each thread of a call: its walk starts and stops.
void q4_record_start(struct q4_recorder *recorder, struct q4_thread_record *record);
void q4_record_stop(struct q4_recorder *recorder, struct q4_thread_record *record);

// Nanoseconds that a look at the clock and a reading of the selected counters cost the calling thread, by trying.
void q4_recorder_cost(struct q4_recorder *recorder, double *stamp_ns, double *read_ns);

uint64_t q4_now_ns(void); // CLOCK_MONOTONIC_RAW

static inline void q4_record_stamp(const struct q4_recorder *r, struct q4_thread_record *t, size_t at) {
    t->stamps[at] = q4_now_ns();
    if (r->emulated)
        q4_emulator_mark(Q4_EMULATOR_THREAD, (int)(t - r->threads), t->stamps[at]);
}

// The thread has done its part of an operation.
static inline void q4_record_mark(const struct q4_recorder *r, struct q4_thread_record *t) {
    if (r->level == Q4_RECORD_CALLS)
        return;
    q4_record_stamp(r, t, t->at);
    if (t->counts && r->level == Q4_RECORD_ALL_OPERATIONS)
        q4_pmu_read(r->pmu, (int)(t - r->threads), t->counts + t->at * r->n_words);
    t->at++;
}

// The barrier behind the operation is over. A team of one never waits, nor does a thread where there was no barrier:
// that mark is the one before.
static inline void q4_record_mark_barrier(const struct q4_recorder *r, struct q4_thread_record *t, bool barrier) {
    if (r->level == Q4_RECORD_CALLS)
        return;
    if (barrier && r->n_threads > 1) {
        q4_record_mark(r, t);
        return;
    }
    t->stamps[t->at] = t->stamps[t->at - 1];
    if (t->counts && r->level == Q4_RECORD_ALL_OPERATIONS)
        memcpy(t->counts + t->at * r->n_words, t->counts + (t->at - 1) * r->n_words, r->n_words * sizeof *t->counts);
    t->at++;
}

#endif
