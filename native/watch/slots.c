#define _GNU_SOURCE
#include "slots.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local struct q4_watch_thread q4_watch_here __attribute__((tls_model("initial-exec")));
struct q4_watch_state q4_watch;

static struct q4_watch_slot slots[Q4_WATCH_SLOTS];
static _Atomic unsigned n_slots; // ever taken
static pthread_key_t at_exit;
static pthread_mutex_t counters_lock = PTHREAD_MUTEX_INITIALIZER; // a thread's are read by others, and end with it

// ---- counters -----------------------------------------------------------------------------------

// TYPE:CONFIG:USER_ONLY,…;…
static void parse_groups(const char *text) {
    while (text && *text && q4_watch.n_groups < Q4_PMU_MAX_GROUPS) {
        struct q4_pmu_group *group = &q4_watch.groups[q4_watch.n_groups];
        *group = (struct q4_pmu_group){.n_events = 0};
        unsigned type, user;
        unsigned long long config;
        int length;
        while (group->n_events < Q4_PMU_MAX_EVENTS &&
               sscanf(text, "%u:%llu:%u%n", &type, &config, &user, &length) == 3) {
            group->events[group->n_events++] = (struct q4_pmu_event){type, config, user != 0};
            text += length;
            text += *text == ',';
        }
        if (group->n_events == 0)
            return;
        q4_watch.n_words += Q4_PMU_HEAD_WORDS + group->n_events;
        q4_watch.n_groups++;
        text += *text == ';';
    }
}

static void open_counters(struct q4_watch_slot *slot) {
    struct q4_pmu_refusal refusal;
    struct q4_pmu *pmu = q4_pmu_open(&q4_watch_here.tid, 1, q4_watch.groups, q4_watch.n_groups, &refusal);
    if (pmu == NULL)
        return;
    q4_pmu_select(pmu, UINT32_MAX);
    q4_pmu_start(pmu, 0);
    pthread_mutex_lock(&counters_lock);
    slot->pmu = pmu;
    pthread_mutex_unlock(&counters_lock);
    if (q4_watch.op_counts)
        slot->readings = calloc(Q4_WATCH_READINGS_KEPT * q4_watch.n_words, sizeof *slot->readings);
}

static void add_counts(uint64_t *sum, const uint64_t *words) {
    for (size_t g = 0; g < q4_watch.n_groups; g++) {
        size_t n = Q4_PMU_HEAD_WORDS + q4_watch.groups[g].n_events;
        if (words[0])
            sum[0] = words[0];
        for (size_t i = 1; i < n; i++)
            sum[i] += words[i];
        sum += n;
        words += n;
    }
}

static void close_counters(struct q4_watch_slot *slot) {
    uint64_t words[Q4_PMU_MAX_GROUPS * (Q4_PMU_HEAD_WORDS + Q4_PMU_MAX_EVENTS)];
    pthread_mutex_lock(&counters_lock);
    if (slot->pmu) {
        q4_pmu_read(slot->pmu, 0, words);
        add_counts(slot->past_counts, words);
        q4_pmu_close(slot->pmu);
        slot->pmu = NULL;
    }
    pthread_mutex_unlock(&counters_lock);
    free(slot->readings);
    slot->readings = NULL;
    slot->counted = NULL;
}

void q4_watch_counts(uint64_t *sum) {
    uint64_t words[Q4_PMU_MAX_GROUPS * (Q4_PMU_HEAD_WORDS + Q4_PMU_MAX_EVENTS)];
    memset(sum, 0, q4_watch.n_words * sizeof *sum);
    pthread_mutex_lock(&counters_lock);
    for (unsigned i = 0; i < atomic_load(&n_slots); i++) {
        if (slots[i].past_counts)
            add_counts(sum, slots[i].past_counts);
        if (slots[i].pmu) {
            q4_pmu_read(slots[i].pmu, 0, words);
            add_counts(sum, words);
        }
    }
    pthread_mutex_unlock(&counters_lock);
}

// ---- slots --------------------------------------------------------------------------------------

static void leave(void *data) {
    struct q4_watch_slot *slot = data;
    q4_watch_here = (struct q4_watch_thread){.slot = NULL};
    close_counters(slot);
    atomic_store(&slot->taken, false);
}

struct q4_watch_slot *q4_watch_slot_here(void) {
    if (q4_watch_here.slot)
        return q4_watch_here.slot;
    for (unsigned i = 0; i < Q4_WATCH_SLOTS; i++) {
        if (atomic_exchange(&slots[i].taken, true))
            continue;
        slots[i].number = i;
        q4_watch_here.tid = (int)syscall(SYS_gettid);
        if (q4_watch.n_groups && slots[i].past_counts == NULL)
            slots[i].past_counts = calloc(q4_watch.n_words, sizeof(uint64_t));
        if (slots[i].past_counts)
            open_counters(&slots[i]);
        unsigned known = atomic_load(&n_slots);
        while (known <= i && !atomic_compare_exchange_weak(&n_slots, &known, i + 1))
            ;
        q4_watch_here.slot = &slots[i];
        pthread_setspecific(at_exit, &slots[i]);
        return &slots[i];
    }
    return NULL;
}

void q4_watch_begin_graph(void) {
    atomic_fetch_add(&q4_watch.n_graphs, 1);
    q4_watch_here.n_joined = atomic_load(&q4_watch.n_joined);
    q4_watch_here.company = Q4_WATCH_NOT_KNOWN;
}

// ---- the log ------------------------------------------------------------------------------------

void q4_watch_log(enum q4_watch_entry_type type, const void *head, size_t head_bytes, const void *rest,
                  size_t rest_bytes) {
    struct q4_watch_slot *slot = q4_watch_slot_here();
    size_t bytes = head_bytes + rest_bytes, all = sizeof(struct q4_watch_entry) + ((bytes + 7) & ~(size_t)7);
    char *room = slot ? q4_watch_room(&slot->log, Q4_WATCH_LOG, slot->number, all) : NULL;
    if (room == NULL)
        return;
    *(struct q4_watch_entry *)(void *)room = (struct q4_watch_entry){type, (uint32_t)bytes};
    memcpy(room + sizeof(struct q4_watch_entry), head, head_bytes);
    if (rest_bytes)
        memcpy(room + sizeof(struct q4_watch_entry) + head_bytes, rest, rest_bytes);
    q4_watch_done(slot->log, all);
}

void q4_watch_note(const char *key, const char *value) {
    char text[4600];
    int n = snprintf(text, sizeof text, "%s=%s", key, value);
    if (n > 0)
        q4_watch_log(Q4_WATCH_NOTE, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, NULL, 0);
}

// ---- the process --------------------------------------------------------------------------------

// A fork's child has one thread, and records into a file of its own.
static void in_child(void) {
    for (unsigned i = 0; i < Q4_WATCH_SLOTS; i++) { // the maps stay the parent's; they are not written any more
        q4_pmu_close(slots[i].pmu);
        slots[i] = (struct q4_watch_slot){.taken = false};
    }
    n_slots = 0;
    pthread_mutex_init(&counters_lock, NULL);
    q4_watch_here = (struct q4_watch_thread){.slot = NULL};
    pthread_setspecific(at_exit, NULL);
    q4_watch_file_forget();
    q4_watch.ready = q4_watch.noted = false;
    q4_watch.n_calls = 0;
    q4_watch.n_groups = q4_watch.n_words = 0;
}

static void once(void) {
    pthread_key_create(&at_exit, leave);
    pthread_atfork(NULL, NULL, in_child);
}

bool q4_watch_start(void) {
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (atomic_load(&q4_watch.ready))
        return true;
    pthread_once(&made, once);
    if (!q4_watch_file_open())
        return false;
    pthread_mutex_lock(&lock);
    if (!atomic_load(&q4_watch.ready)) {
        const char *operations = getenv("Q4_WATCH_OPERATIONS");
        q4_watch.operations = q4_watch.with_operations = operations != NULL;
        q4_watch.ticking = q4_counter_is_the_clock();
        parse_groups(getenv("Q4_WATCH_GROUPS"));
        q4_watch.op_counts = operations && strcmp(operations, "counted") == 0 && q4_watch.n_groups;
        q4_watch_file_head()->count_words = q4_watch.n_words;
        atomic_store(&q4_watch.ready, true);
    }
    pthread_mutex_unlock(&lock);
    return true;
}
