#define _GNU_SOURCE
#include "pmu.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct q4_pmu {
    size_t n_threads, n_groups;
    uint32_t selected;
    struct q4_pmu_group groups[Q4_PMU_MAX_GROUPS];
    int *fds; // [thread][group][event], -1: not open
};

static int *group_fds(const struct q4_pmu *pmu, size_t thread, size_t group) {
    return pmu->fds + (thread * pmu->n_groups + group) * Q4_PMU_MAX_EVENTS;
}

static int open_event(const struct q4_pmu_event *event, int tid, int leader) {
    struct perf_event_attr attr = {
        .size = sizeof attr,
        .type = event->type,
        .config = event->config,
        .disabled = leader < 0,
        .exclude_kernel = event->exclude_kernel,
        .exclude_hv = 1,
        .read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
    };
    return (int)syscall(SYS_perf_event_open, &attr, tid, -1, leader, PERF_FLAG_FD_CLOEXEC);
}

static void close_group(int *fds, size_t n) {
    while (n--) // the leader last
        if (fds[n] >= 0) {
            close(fds[n]);
            fds[n] = -1;
        }
}

// 0, or errno and nothing stays open.
static int open_group(const struct q4_pmu_group *group, int tid, int *fds, size_t *bad) {
    for (size_t i = 0; i < group->n_events; i++) {
        fds[i] = open_event(&group->events[i], tid, i ? fds[0] : -1);
        if (fds[i] < 0) {
            int error = errno;
            *bad = i;
            close_group(fds, i);
            return error;
        }
    }
    return 0;
}

int q4_pmu_try(const struct q4_pmu_group *group, int tid, size_t *bad) {
    int fds[Q4_PMU_MAX_EVENTS];
    int error = open_group(group, tid, fds, bad);
    if (error == 0)
        close_group(fds, group->n_events);
    return error;
}

static bool open_all(struct q4_pmu *pmu, const int *tids, struct q4_pmu_refusal *refusal) {
    for (size_t t = 0; t < pmu->n_threads; t++)
        for (size_t g = 0; g < pmu->n_groups; g++) {
            *refusal = (struct q4_pmu_refusal){.thread = t, .group = g};
            refusal->error = open_group(&pmu->groups[g], tids[t], group_fds(pmu, t, g), &refusal->event);
            if (refusal->error)
                return false;
        }
    return true;
}

struct q4_pmu *q4_pmu_open(const int *tids, size_t n_threads, const struct q4_pmu_group *groups, size_t n_groups,
                           struct q4_pmu_refusal *refusal) {
    *refusal = (struct q4_pmu_refusal){.error = ENOMEM};
    size_t n_fds, bytes;
    if (n_groups > Q4_PMU_MAX_GROUPS || __builtin_mul_overflow(n_threads, n_groups * Q4_PMU_MAX_EVENTS, &n_fds) ||
        __builtin_mul_overflow(n_fds, sizeof(int), &bytes))
        return NULL;
    struct q4_pmu *pmu = calloc(1, sizeof *pmu);
    if (pmu == NULL)
        return NULL;
    pmu->n_threads = n_threads;
    pmu->n_groups = n_groups;
    memcpy(pmu->groups, groups, n_groups * sizeof *groups);
    pmu->fds = malloc(bytes ? bytes : 1);
    for (size_t i = 0; pmu->fds && i < n_fds; i++)
        pmu->fds[i] = -1;
    if (pmu->fds == NULL || !open_all(pmu, tids, refusal)) {
        q4_pmu_close(pmu);
        return NULL;
    }
    return pmu;
}

void q4_pmu_close(struct q4_pmu *pmu) {
    if (pmu == NULL)
        return;
    for (size_t t = 0; pmu->fds && t < pmu->n_threads; t++)
        for (size_t g = 0; g < pmu->n_groups; g++)
            close_group(group_fds(pmu, t, g), pmu->groups[g].n_events);
    free(pmu->fds);
    free(pmu);
}

void q4_pmu_select(struct q4_pmu *pmu, uint32_t groups) { pmu->selected = groups; }

static size_t words_of(const struct q4_pmu *pmu, uint32_t selected) {
    size_t words = 0;
    for (size_t g = 0; g < pmu->n_groups; g++)
        if (selected >> g & 1)
            words += Q4_PMU_HEAD_WORDS + pmu->groups[g].n_events;
    return words;
}

size_t q4_pmu_words(const struct q4_pmu *pmu) { return words_of(pmu, pmu->selected); }

size_t q4_pmu_max_words(const struct q4_pmu *pmu) { return words_of(pmu, UINT32_MAX); }

static void control(struct q4_pmu *pmu, size_t thread, unsigned long request) {
    for (size_t g = 0; g < pmu->n_groups; g++)
        if (pmu->selected >> g & 1)
            ioctl(group_fds(pmu, thread, g)[0], request, PERF_IOC_FLAG_GROUP);
}

void q4_pmu_start(struct q4_pmu *pmu, size_t thread) { control(pmu, thread, PERF_EVENT_IOC_ENABLE); }

void q4_pmu_stop(struct q4_pmu *pmu, size_t thread) { control(pmu, thread, PERF_EVENT_IOC_DISABLE); }

void q4_pmu_read(const struct q4_pmu *pmu, size_t thread, uint64_t *words) {
    for (size_t g = 0; g < pmu->n_groups; g++) {
        if (!(pmu->selected >> g & 1))
            continue;
        size_t n = Q4_PMU_HEAD_WORDS + pmu->groups[g].n_events;
        if (read(group_fds(pmu, thread, g)[0], words, n * sizeof *words) != (ssize_t)(n * sizeof *words))
            memset(words, 0, n * sizeof *words);
        words += n;
    }
}
