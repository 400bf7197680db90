// A log of calls for captures: when each thread was done with each operation, and what its counters said at that time.
//
// During a call every thread passes 1 + 2 * n_ops marks: the start of its walk over the plan, then for each operation
// the end of its own work and the end of the barrier after it. The end of one operation is the start of the next, so a
// mark takes one time stamp. Where the thread had nothing to do since the mark before, the two marks are equal and no
// stamp is taken. Counters are read at every mark or, since a reading is a system call, only at the first and the last.
//
// The log grows until Python takes it, many calls at once. Directly after a call the caches are full of weights, so
// that any code there takes several times as long as it does in a loop.
#ifndef Q4_RECORDER_H
#define Q4_RECORDER_H

#include "clock.h"
#include "emulator.h"
#include "pmu.h"
#include "q4.h"
#include "threads.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What the caller says that a call is. It is a label of its record and changes nothing else.
enum q4_phase {
    Q4_PHASE_NONE, // no part of the run: not recorded
    Q4_PHASE_PREFILL,
    Q4_PHASE_DECODE,
    Q4_PHASE_VERIFY, // tokens that were guessed are checked together
    Q4_N_PHASES
};

enum q4_thread_fact {
    Q4_FACT_TID,
    Q4_FACT_FIRST_CPU, // on which the thread began and ended its part of the call
    Q4_FACT_LAST_CPU,
    Q4_FACT_PAGE_FAULTS, // of the thread, during its part of the call
    Q4_FACT_CONTEXT_SWITCHES,
    Q4_THREAD_FACTS
};

// One call. The threads' parts follow it in memory, one behind the other, each as long as its marks need.
struct q4_record {
    struct q4_record *next;
    uint64_t start_ns, end_ns; // CLOCK_MONOTONIC_RAW
    q4_ticks start, end;       // the same two moments
    q4_ticks own;              // that recording took at the ends of the slowest thread's walk and after the call
    size_t n_past, n_tokens;
    int n_threads; // that walk it, of the recorder's the first
    bool all_logits;
    enum q4_phase phase;
    size_t n_words; // of one reading of the groups that count in the call
};

// A thread's part of the call that runs. Of a mark that equals the one before only a bit of `busy` is kept, a 0.
struct q4_thread_record {
    int64_t facts[Q4_THREAD_FACTS];
    uint64_t *busy;              // [n_busy_words] a bit for each mark: 1 where it has a stamp of its own
    q4_ticks *stamps;            // of the marks whose bit is set
    uint64_t *counts;            // [n_words] for each reading, cumulative; NULL without counters
    size_t n_stamps, n_readings; // so far
    size_t at;                   // index of the next mark
    q4_ticks own;                // that recording took at the two ends of the walk
    char padding[64];            // neighbours belong to other threads
};

struct q4_record_block {
    struct q4_record_block *next;
    size_t used; // bytes, this head included
};

enum q4_record_level {
    Q4_RECORD_NOTHING,        // no recorder has this level
    Q4_RECORD_CALLS,          // stamps and readings at the two ends of each thread's walk
    Q4_RECORD_OPERATIONS,     // stamps at every operation, readings at the two ends
    Q4_RECORD_ALL_OPERATIONS, // both at every operation
};

struct q4_recorder {
    enum q4_record_level level;
    bool emulated; // an emulator's plugin is told of every stamp
    bool ticking;  // stamps are read from the counter, not the clock
    size_t n_marks, n_readings, n_busy_words;
    int n_threads;
    struct q4_pmu *pmu;              // owned; NULL: no counters
    const _Atomic uint32_t *tallies; // [n_tallies] of the session, kept with every call
    size_t n_tallies;
    struct q4_thread_record *threads;
    uint8_t *memory; // of the threads' arrays
    size_t memory_bytes;
    struct q4_record present; // the call that runs
    // the log: of calls that succeeded
    struct q4_record *first, *last;
    struct q4_record_block *blocks; // the newest first
    size_t block_bytes, record_bytes, log_bytes;
    uint64_t remind_ns, reminded_ns;
    size_t remind_bytes;
};

// Counters on the threads of a team, of which the calling thread is the first. NULL: refused, as q4_pmu_open says.
struct q4_pmu *q4_recorder_counters(q4_team *team, const struct q4_pmu_group *groups, size_t n_groups,
                                    struct q4_pmu_refusal *refusal);

// What there is to record of a session.
struct q4_recorded {
    int n_threads;
    size_t n_ops, n_tallies;
    const _Atomic uint32_t *tallies;
};

// Takes over pmu, which may be NULL. NULL when there is no memory; pmu is closed then too.
struct q4_recorder *q4_recorder_new(struct q4_recorded of, enum q4_record_level level, struct q4_pmu *pmu);
void q4_recorder_free(struct q4_recorder *recorder);

// Around a call, on the thread that makes it. Of `call` the fields n_past to phase are read. A call that is started and
// not stopped (it failed) leaves no record.
void q4_record_call_start(struct q4_recorder *recorder, const struct q4_record *call);
bool q4_record_call_stop(struct q4_recorder *recorder); // false: no memory

// On each thread of a call: its walk starts and stops.
void q4_record_start(struct q4_recorder *recorder, struct q4_thread_record *record);
void q4_record_stop(struct q4_recorder *recorder, struct q4_thread_record *record);

// Whether it is time to take the log: it has more than remind_bytes, or this function last said so remind_ns ago (0:
// the time does not matter).
bool q4_records_due(struct q4_recorder *recorder);

// Empties the log. Records that were read from recorder->first on are gone then.
void q4_records_clear(struct q4_recorder *recorder);

// Unpacks a record, equal marks included: facts [threads][Q4_THREAD_FACTS], stamps [threads][n_marks] in nanoseconds of
// CLOCK_MONOTONIC_RAW, counts [threads][n_readings][n_words]; threads are the record's.
void q4_record_expand(const struct q4_recorder *recorder, const struct q4_record *record, int64_t *facts,
                      uint64_t *stamps, uint64_t *counts);

// The tallies of a record, [n_tallies].
static inline const uint64_t *q4_record_tallies(const struct q4_record *record) {
    return (const uint64_t *)(record + 1);
}

// Nanoseconds that recording added to a call, those of the marks between the first and the last left out.
uint64_t q4_record_own_ns(const struct q4_record *record);

// Measures what a mark and a reading of the selected counters take the calling thread, in nanoseconds. Not in a call.
void q4_recorder_cost(struct q4_recorder *recorder, double *mark_ns, double *reading_ns);

static inline q4_ticks q4_record_now(const struct q4_recorder *r) { return q4_stamp(r->ticking); }

// Takes a stamp for the thread's next mark.
static inline void q4_record_stamp(const struct q4_recorder *r, struct q4_thread_record *t) {
    q4_ticks now = q4_record_now(r);
    t->stamps[t->n_stamps++] = now;
    t->busy[t->at / 64] |= (uint64_t)1 << t->at % 64;
    if (r->emulated)
        q4_emulator_mark(Q4_EMULATOR_THREAD, (int)(t - r->threads), now);
}

static inline void q4_record_reading(const struct q4_recorder *r, struct q4_thread_record *t) {
    q4_pmu_read(r->pmu, (size_t)(t - r->threads), t->counts + t->n_readings++ * r->present.n_words);
}

// The thread passes its next mark: the end of its work on an operation, or of the barrier after it. busy: it did
// something, or waited, since the mark before.
static inline void q4_record_mark(const struct q4_recorder *r, struct q4_thread_record *t, bool busy) {
    if (r->level == Q4_RECORD_CALLS)
        return;
    if (busy) {
        q4_record_stamp(r, t);
        if (r->present.n_words && r->level == Q4_RECORD_ALL_OPERATIONS)
            q4_record_reading(r, t);
    }
    t->at++;
}

#endif
