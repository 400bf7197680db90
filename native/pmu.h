// Counters on given threads, by perf_event_open: the engine's own, or those of a program that we may trace. Events of
// one group are scheduled and read together, so ratios within a group are exact.
#ifndef Q4_PMU_H
#define Q4_PMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define Q4_PMU_MAX_GROUPS 32
#define Q4_PMU_MAX_EVENTS 16 // in a group

struct q4_pmu_event { // fields of perf_event_attr
    uint32_t type;
    uint64_t config;
    bool exclude_kernel;
};

struct q4_pmu_group {
    struct q4_pmu_event events[Q4_PMU_MAX_EVENTS];
    size_t n_events;
};

struct q4_pmu;

// What the kernel refused to open: errno, and for which thread, group and event of those given.
struct q4_pmu_refusal {
    int error;
    size_t thread, group, event;
};

// Opens a group on a thread (the kernel's number for it; 0: the calling thread) and closes it again. 0, or errno; *bad
// is the event that was refused.
int q4_pmu_try(const struct q4_pmu_group *group, int tid, size_t *bad);

// Opens all groups on all threads, in the order of tids; a thread is called by its place there from then on. NULL where
// there is no memory (error ENOMEM) or the kernel refuses an event; nothing stays open then.
struct q4_pmu *q4_pmu_open(const int *tids, size_t n_threads, const struct q4_pmu_group *groups, size_t n_groups,
                           struct q4_pmu_refusal *refusal);
void q4_pmu_close(struct q4_pmu *pmu);

// Which groups count in the calls to come: bit i for group i.
void q4_pmu_select(struct q4_pmu *pmu, uint32_t groups);

// Words that a thread's reading takes now, and would take with all groups selected. A reading has for each selected
// group the number of events, nanoseconds enabled and running, then the counts.
#define Q4_PMU_HEAD_WORDS 3
size_t q4_pmu_words(const struct q4_pmu *pmu);
size_t q4_pmu_max_words(const struct q4_pmu *pmu);

// The selected groups count on a thread between start and stop. From any thread, on a thread's own behalf cheapest. A
// group that cannot be read is all zero.
void q4_pmu_start(struct q4_pmu *pmu, size_t thread);
void q4_pmu_read(const struct q4_pmu *pmu, size_t thread, uint64_t *words);
void q4_pmu_stop(struct q4_pmu *pmu, size_t thread);

#endif
