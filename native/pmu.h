// Counters on the engine's own threads, by perf_event_open. Events of one group are scheduled and read together, so
// ratios within a group are exact.
#ifndef Q4_PMU_H
#define Q4_PMU_H

#include "threads.h"

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

// Opens a group on the calling thread and closes it again. 0, or errno; *bad is the event that was refused.
int q4_pmu_try(const struct q4_pmu_group *group, size_t *bad);

// Opens all groups on all threads of a team; the calling thread counts as member 0. NULL with *error = errno.
struct q4_pmu *q4_pmu_open(q4_team *team, const struct q4_pmu_group *groups, size_t n_groups, int *error);
void q4_pmu_close(struct q4_pmu *pmu);

// Which groups count in the calls to come: bit i for group i.
void q4_pmu_select(struct q4_pmu *pmu, uint32_t groups);

// Words that a reading has now, and has with all groups selected: for each selected group the number of events, time
// enabled and running in nanoseconds, then the counts.
size_t q4_pmu_words(const struct q4_pmu *pmu);
size_t q4_pmu_max_words(const struct q4_pmu *pmu);

// On each thread: the selected groups count between start and stop. A reading that fails is all zero.
void q4_pmu_start(struct q4_pmu *pmu, int member);
void q4_pmu_read(const struct q4_pmu *pmu, int member, uint64_t *words);
void q4_pmu_stop(struct q4_pmu *pmu, int member);

#endif
