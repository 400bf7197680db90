#define _GNU_SOURCE
#include "recorder.h"

#include "memory.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// ---- the log -----------------------------------------------------------------------------------

// Blocks are touched when they are made: the first touch of a page is a fault, of 10 µs and more in virtual machines.
#define BLOCK_BYTES ((size_t)8 << 20)
#define RECORDS_PER_BLOCK 2048

static size_t head_bytes(void) { return q4_round_up(sizeof(struct q4_record_block), 64); }

static bool add_block(struct q4_recorder *r) {
    struct q4_record_block *block = q4_alloc(r->block_bytes, Q4_PAGES_HUGE);
    if (block == NULL)
        return false;
    memset(block, 0, r->block_bytes);
    *block = (struct q4_record_block){.next = r->blocks, .used = head_bytes()};
    r->blocks = block;
    return true;
}

bool q4_records_due(struct q4_recorder *r) {
    uint64_t now = r->present.end_ns;
    if (r->remind_ns && now - r->reminded_ns > r->remind_ns) {
        r->reminded_ns = now;
        return true;
    }
    return r->log_bytes > r->remind_bytes;
}

void q4_records_clear(struct q4_recorder *r) {
    while (r->blocks && r->blocks->next) { // keeps one, the oldest, for the calls to come
        struct q4_record_block *next = r->blocks->next;
        q4_free(r->blocks, r->block_bytes);
        r->blocks = next;
    }
    if (r->blocks)
        r->blocks->used = head_bytes();
    r->first = r->last = NULL;
    r->log_bytes = 0;
}

// ---- the recorder ------------------------------------------------------------------------------

static bool allocate(struct q4_recorder *r, size_t max_words) {
    size_t n_threads = (size_t)r->n_threads, words = r->n_busy_words + r->n_marks + r->n_readings * max_words;
    size_t stride = q4_round_up(words * sizeof(uint64_t), 64);
    r->record_bytes = q4_round_up(sizeof(struct q4_record) + r->n_tallies * sizeof(uint64_t) +
                                      n_threads * (stride + (2 + Q4_THREAD_FACTS) * sizeof(uint64_t)),
                                  64);
    r->block_bytes = head_bytes() + RECORDS_PER_BLOCK * r->record_bytes;
    if (r->block_bytes > BLOCK_BYTES)
        r->block_bytes = head_bytes() + r->record_bytes > BLOCK_BYTES ? head_bytes() + r->record_bytes : BLOCK_BYTES;
    r->memory_bytes = n_threads * stride;
    r->memory = q4_alloc(r->memory_bytes, Q4_PAGES_SMALL);
    r->threads = calloc(n_threads, sizeof *r->threads);
    if (r->memory == NULL || r->threads == NULL)
        return false;
    for (size_t i = 0; i < n_threads; i++) {
        struct q4_thread_record *t = &r->threads[i];
        t->busy = (uint64_t *)(void *)(r->memory + i * stride);
        t->stamps = t->busy + r->n_busy_words;
        t->counts = max_words ? t->stamps + r->n_marks : NULL;
    }
    return add_block(r);
}

static int this_thread(void) { return (int)syscall(SYS_gettid); }

static void note_thread(void *context, int member) {
    int *tids = context;
    tids[member] = this_thread();
}

struct q4_pmu *q4_recorder_counters(q4_team *team, const struct q4_pmu_group *groups, size_t n_groups,
                                    struct q4_pmu_refusal *refusal) {
    int tids[Q4_MAX_THREADS];
    q4_team_run(team, q4_team_size(team), note_thread, tids);
    return q4_pmu_open(tids, (size_t)q4_team_size(team), groups, n_groups, refusal);
}

struct q4_recorder *q4_recorder_new(struct q4_recorded of, enum q4_record_level level, struct q4_pmu *pmu) {
    struct q4_recorder *r = calloc(1, sizeof *r);
    if (r == NULL) {
        q4_pmu_close(pmu);
        return NULL;
    }
    *r = (struct q4_recorder){.level = level,
                              .emulated = q4_emulator_wants_marks(),
                              .n_threads = of.n_threads,
                              .tallies = of.tallies,
                              .n_tallies = level == Q4_RECORD_CALLS ? 0 : of.n_tallies,
                              .pmu = pmu,
                              .remind_bytes = SIZE_MAX};
    r->ticking = !r->emulated && q4_counter_is_the_clock();
    r->n_marks = level == Q4_RECORD_CALLS ? 2 : 1 + 2 * of.n_ops;
    r->n_readings = level == Q4_RECORD_ALL_OPERATIONS ? r->n_marks : 2;
    r->n_busy_words = (r->n_marks + 63) / 64;
    if (!allocate(r, pmu ? q4_pmu_max_words(pmu) : 0)) {
        q4_recorder_free(r);
        return NULL;
    }
    return r;
}

void q4_recorder_free(struct q4_recorder *r) {
    if (r == NULL)
        return;
    q4_records_clear(r);
    q4_free(r->blocks, r->block_bytes);
    q4_free(r->memory, r->memory_bytes);
    free(r->threads);
    q4_pmu_close(r->pmu);
    free(r);
}

// ---- a call ------------------------------------------------------------------------------------

void q4_record_call_start(struct q4_recorder *r, const struct q4_record *call) {
    r->present = *call;
    r->present.n_words = r->pmu ? q4_pmu_words(r->pmu) : 0;
    q4_clock_both(r->ticking, &r->present.start_ns, &r->present.start);
    if (r->emulated)
        q4_emulator_mark(Q4_EMULATOR_CALL, 0, r->present.start_ns);
}

static uint64_t *append(uint64_t *to, const void *from, size_t n) {
    if (n)
        memcpy(to, from, n * sizeof *to);
    return to + n;
}

bool q4_record_call_stop(struct q4_recorder *r) {
    q4_clock_both(r->ticking, &r->present.end_ns, &r->present.end);
    if (r->emulated)
        q4_emulator_mark(Q4_EMULATOR_CALL, 0, r->present.end_ns);
    if (r->block_bytes - r->blocks->used < r->record_bytes && !add_block(r))
        return false;
    struct q4_record *record = (struct q4_record *)(void *)((uint8_t *)r->blocks + r->blocks->used);
    *record = r->present;
    uint64_t *to = (uint64_t *)(record + 1);
    for (size_t i = 0; i < r->n_tallies; i++)
        *to++ = atomic_load_explicit(&r->tallies[i], memory_order_relaxed);
    for (int i = 0; i < record->n_threads; i++) {
        const struct q4_thread_record *t = &r->threads[i];
        record->own = t->own > record->own ? t->own : record->own;
        *to++ = t->n_stamps;
        *to++ = t->n_readings;
        to = append(to, t->facts, Q4_THREAD_FACTS);
        to = append(to, t->busy, r->n_busy_words);
        to = append(to, t->stamps, t->n_stamps);
        to = append(to, t->counts, t->n_readings * record->n_words);
    }
    size_t used = q4_round_up((size_t)((uint8_t *)to - (uint8_t *)r->blocks), 64);
    r->log_bytes += used - r->blocks->used;
    r->blocks->used = used;
    *(r->last ? &r->last->next : &r->first) = record;
    r->last = record;
    record->own += q4_record_now(r) - record->end;
    return true;
}

// Page faults and context switches of the calling thread since it started. Unlike counters they need no permission.
static void thread_usage(int64_t *page_faults, int64_t *context_switches) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    *page_faults = (int64_t)usage.ru_minflt + usage.ru_majflt;
    *context_switches = (int64_t)usage.ru_nvcsw + usage.ru_nivcsw;
}

void q4_record_start(struct q4_recorder *r, struct q4_thread_record *t) {
    size_t member = (size_t)(t - r->threads);
    q4_ticks entered = q4_record_now(r);
    int64_t faults, switches;
    thread_usage(&faults, &switches);
    static _Thread_local int tid;
    if (tid == 0)
        tid = this_thread();
    memset(t->busy, 0, r->n_busy_words * sizeof *t->busy);
    t->at = t->n_stamps = t->n_readings = 0;
    t->facts[Q4_FACT_TID] = tid;
    t->facts[Q4_FACT_FIRST_CPU] = sched_getcpu();
    t->facts[Q4_FACT_PAGE_FAULTS] = -faults;
    t->facts[Q4_FACT_CONTEXT_SWITCHES] = -switches;
    if (r->present.n_words) {
        q4_pmu_start(r->pmu, member);
        q4_record_reading(r, t);
    }
    q4_record_stamp(r, t);
    t->own = t->stamps[0] - entered;
    t->at = 1;
}

void q4_record_stop(struct q4_recorder *r, struct q4_thread_record *t) {
    q4_ticks entered = q4_record_now(r);
    if (r->level == Q4_RECORD_CALLS)
        q4_record_stamp(r, t);
    if (r->present.n_words && r->level != Q4_RECORD_ALL_OPERATIONS)
        q4_record_reading(r, t);
    if (r->present.n_words)
        q4_pmu_stop(r->pmu, (size_t)(t - r->threads));
    int64_t faults, switches;
    thread_usage(&faults, &switches);
    t->facts[Q4_FACT_LAST_CPU] = sched_getcpu();
    t->facts[Q4_FACT_PAGE_FAULTS] += faults;
    t->facts[Q4_FACT_CONTEXT_SWITCHES] += switches;
    t->own += q4_record_now(r) - entered;
}

// Nanoseconds of a tick, from the call's two ends.
static double tick_ns(const struct q4_record *record) {
    q4_ticks ticks = record->end - record->start;
    return ticks ? (double)(record->end_ns - record->start_ns) / (double)ticks : 0;
}

uint64_t q4_record_own_ns(const struct q4_record *record) { return (uint64_t)((double)record->own * tick_ns(record)); }

// A stamp on the clock, by the call's two ends. Not before `before`, even where CPUs' counters disagree.
static uint64_t to_ns(const struct q4_record *record, q4_ticks ticks, uint64_t before) {
    if (ticks <= record->start)
        return before;
    if (ticks >= record->end)
        return record->end_ns;
    uint64_t ns = record->start_ns + (uint64_t)((double)(ticks - record->start) * tick_ns(record));
    return ns > before ? ns : before;
}

void q4_record_expand(const struct q4_recorder *r, const struct q4_record *record, int64_t *facts, uint64_t *stamps,
                      uint64_t *counts) {
    const uint64_t *part = q4_record_tallies(record) + r->n_tallies;
    size_t n_words = record->n_words;
    bool every = r->level == Q4_RECORD_ALL_OPERATIONS;
    for (int thread = 0; thread < record->n_threads; thread++) {
        size_t n_stamps = *part++, n_readings = *part++, at = 0;
        memcpy(facts, part, Q4_THREAD_FACTS * sizeof *facts);
        const uint64_t *busy = part + Q4_THREAD_FACTS, *ticks = busy + r->n_busy_words, *read = ticks + n_stamps;
        for (size_t i = 0; i < r->n_marks; i++) {
            uint64_t before = i ? stamps[i - 1] : record->start_ns;
            stamps[i] = busy[i / 64] >> i % 64 & 1 ? to_ns(record, ticks[at++], before) : before;
            if (every && n_words)
                memcpy(counts + i * n_words, read + (at - 1) * n_words, n_words * sizeof *counts);
        }
        if (!every && n_words)
            memcpy(counts, read, r->n_readings * n_words * sizeof *counts);
        part = read + n_readings * n_words;
        facts += Q4_THREAD_FACTS;
        stamps += r->n_marks;
        counts += r->n_readings * n_words;
    }
}

#define COST_ROUNDS 500

static double mean_ns(uint64_t start) { return (double)(q4_now_ns() - start) / COST_ROUNDS; }

void q4_recorder_cost(struct q4_recorder *r, double *mark_ns, double *reading_ns) {
    struct q4_thread_record *t = &r->threads[0];
    struct q4_recorder marker = *r; // takes marks, but no readings, and tells no emulator
    marker.level = Q4_RECORD_OPERATIONS;
    marker.emulated = false;
    uint64_t start = q4_now_ns();
    for (int i = 0; i < COST_ROUNDS; i++) {
        t->at = t->n_stamps = 0;
        q4_record_mark(&marker, t, true);
    }
    *mark_ns = mean_ns(start);
    *reading_ns = 0;
    if (r->pmu == NULL)
        return;
    q4_pmu_start(r->pmu, 0);
    start = q4_now_ns();
    for (int i = 0; i < COST_ROUNDS; i++)
        q4_pmu_read(r->pmu, 0, t->counts);
    *reading_ns = mean_ns(start);
    q4_pmu_stop(r->pmu, 0);
}
