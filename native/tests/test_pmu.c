// Counters on threads other than the caller's, of this process and of another: software events, which every machine
// has.
#define _GNU_SOURCE // POSIX beyond C11
#include "test.h"

#include "../pmu.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64
// A page that is touched under ThreadSanitizer has pages of shadow memory.
#ifdef __SANITIZE_THREAD__
#define MOST_FAULTS (6 * PAGES)
#else
#define MOST_FAULTS (2 * PAGES)
#endif

static const struct q4_pmu_group faults_and_time = {
    .events = {{PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, true},
               {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, true}},
    .n_events = 2,
};

struct reading {
    uint64_t n_events, enabled, running, faults, time;
};

// What the two sides share: the one that counts asks for rounds of work, the other does them.
struct worker {
    _Atomic int tid, asked, done; // asked < 0: it may go
};

static void touch_pages(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = PAGES * page;
    volatile uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if ((void *)p == MAP_FAILED)
        return;
    madvise((void *)p, bytes, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < PAGES; i++)
        p[i * page] = 1;
    munmap((void *)p, bytes);
}

static void *work(void *context) {
    struct worker *w = context;
    atomic_store(&w->tid, (int)syscall(SYS_gettid));
    for (;;) {
        int asked = atomic_load(&w->asked);
        if (asked < 0)
            return NULL;
        if (asked > atomic_load(&w->done)) {
            touch_pages();
            atomic_store(&w->done, asked);
        }
        sched_yield();
    }
}

static void ask(struct worker *w) {
    int asked = atomic_fetch_add(&w->asked, 1) + 1;
    while (atomic_load(&w->done) < asked)
        sched_yield();
}

// A round before start, one counted, one after stop: only the middle one may be seen.
static bool counts_the_middle_round(struct q4_pmu *pmu, struct worker *w, size_t thread, char *what, size_t size) {
    struct reading before, after, later;
    q4_pmu_select(pmu, 1);
    ask(w);
    q4_pmu_start(pmu, thread);
    q4_pmu_read(pmu, thread, (uint64_t *)&before);
    ask(w);
    q4_pmu_read(pmu, thread, (uint64_t *)&after);
    q4_pmu_stop(pmu, thread);
    q4_pmu_read(pmu, thread, (uint64_t *)&after);
    ask(w);
    q4_pmu_read(pmu, thread, (uint64_t *)&later);
    uint64_t faults = after.faults - before.faults;
    snprintf(what, size, "%llu faults counted of %d, then %llu; %llu ns of work", (unsigned long long)faults, PAGES,
             (unsigned long long)(later.faults - after.faults), (unsigned long long)(after.time - before.time));
    return q4_pmu_words(pmu) == 5 && after.n_events == 2 && before.faults < PAGES && faults >= PAGES &&
           faults < MOST_FAULTS && after.time > before.time && later.faults == after.faults && later.time == after.time;
}

// The worker is the second of two threads counted; the first, this one, has no part in its faults.
static bool count_worker(struct worker *w, char *what, size_t size) {
    while (atomic_load(&w->tid) == 0)
        sched_yield();
    int tids[2] = {0, atomic_load(&w->tid)};
    struct q4_pmu_refusal refusal;
    struct q4_pmu *pmu = q4_pmu_open(tids, 2, &faults_and_time, 1, &refusal);
    bool ok = pmu != NULL;
    if (ok)
        ok = counts_the_middle_round(pmu, w, 1, what, size);
    else
        snprintf(what, size, "thread %zu, event %zu: %s", refusal.thread, refusal.event, strerror(refusal.error));
    q4_pmu_close(pmu);
    atomic_store(&w->asked, -1);
    return ok;
}

static bool other_thread(struct rng *r, const void *subject, char *what, size_t size) {
    (void)r, (void)subject;
    struct worker w = {0};
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, &w) != 0)
        return false;
    bool ok = count_worker(&w, what, size);
    pthread_join(thread, NULL);
    return ok;
}

static bool other_process(struct rng *r, const void *subject, char *what, size_t size) {
    (void)r, (void)subject;
    struct worker *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (w == MAP_FAILED)
        return false;
    fflush(stdout); // or the child's copy of it is written too
    pid_t child = fork();
    if (child == 0) {
        work(w);
        _exit(0);
    }
    bool ok = child > 0 && count_worker(w, what, size);
    if (child > 0)
        waitpid(child, NULL, 0);
    if (ok) { // the number is nobody's now
        int tids[2] = {0, (int)child};
        struct q4_pmu_refusal refusal;
        ok = q4_pmu_open(tids, 2, &faults_and_time, 1, &refusal) == NULL && refusal.error == ESRCH &&
             refusal.thread == 1 && refusal.group == 0 && refusal.event == 0;
        if (!ok)
            snprintf(what, size, "a thread that has ended: error %d, thread %zu", refusal.error, refusal.thread);
    }
    munmap(w, sizeof *w);
    return ok;
}

static bool refused_event(struct rng *r, const void *subject, char *what, size_t size) {
    (void)subject;
    struct q4_pmu_group groups[4];
    size_t n_groups = rng_range(r, 1, 4), bad_group = rng_range(r, 0, n_groups - 1), bad_event = rng_range(r, 0, 1);
    for (size_t i = 0; i < n_groups; i++)
        groups[i] = faults_and_time;
    groups[bad_group].events[bad_event].type = 0xFFFF; // a PMU that no kernel has
    struct q4_pmu_refusal refusal;
    int self = 0;
    struct q4_pmu *pmu = q4_pmu_open(&self, 1, groups, n_groups, &refusal);
    snprintf(what, size, "event %zu of group %zu, not %zu of %zu", refusal.event, refusal.group, bad_event, bad_group);
    bool ok = pmu == NULL && refusal.error && refusal.group == bad_group && refusal.event == bad_event;
    q4_pmu_close(pmu);
    return ok;
}

void test_pmu(void) {
    size_t bad, cases = options.cases;
    int error = q4_pmu_try(&faults_and_time, 0, &bad);
    if (error) {
        if (!options.list)
            printf("skip pmu: the kernel counts nothing here: %s\n", strerror(error));
        return;
    }
    options.cases = cases < 20 ? cases : 20; // the kernel is the same every time
    run_cases("pmu/other thread", other_thread, NULL);
    run_cases("pmu/other process", other_process, NULL);
    run_cases("pmu/refused event", refused_event, NULL);
    options.cases = cases;
}
