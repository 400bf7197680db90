#define _GNU_SOURCE
#include "threads.h"

#include "instructions.h" // of the architecture that is built for

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// How often a waiter looks before it sleeps: some tens of microseconds, longer than most operations keep a thread
// waiting and far shorter than a scheduler's time slice, so that more threads than cores still make progress.
#define SPINS 30000
// Where threads share CPUs, a waiter soon leaves its CPU to those that it waits for, this often before it sleeps: to be
// woken costs several times what a turn costs.
#define CROWDED_SPINS 64
#define YIELDS 64
// How much longer a worker stays awake for the next run where every thread has a CPU: a token's sampling takes less,
// and to be woken takes up to 70 µs.
#define AWAKE_NS 1000000

// A count that is waited for, alone on its cache line.
typedef struct {
    _Alignas(64) _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
} counter;

typedef struct {
    q4_team *team;
    pthread_t thread;
    int member;
} worker;

struct q4_team {
    counter phase; // counts barriers; waiters poll it while arrivals hit `arrived`
    _Alignas(64) _Atomic uint32_t arrived;
    counter runs[2]; // counts those of the part's workers, and those of the others: who has no part in a run sleeps on
    _Atomic uint32_t stop;
    void (*work)(void *, int);
    void *context;
    pthread_mutex_t queue;
    int members;  // asked for
    int size;     // running
    int part;     // of them, in runs that do not take all
    int active;   // in the present run, or the last
    bool crowded; // more threads than CPUs
    int *cpus;
    worker *workers;
    struct share *shares;  // [members]
    _Atomic pid_t process; // whose threads the workers are
};

// What is left of a member's units: round << 44 | end << 22 | first. The round is that of `phase` when the units were
// dealt out; a share of another round stands for one that nobody has touched yet.
struct share {
    _Alignas(64) _Atomic uint64_t word;
};
#define UNIT_BITS 22
#define UNIT_MASK (((uint64_t)1 << UNIT_BITS) - 1)
#define ROUND_MASK (((uint32_t)1 << (64 - 2 * UNIT_BITS)) - 1)
_Static_assert((size_t)1 << UNIT_BITS == Q4_MAX_UNITS, "units fit a share");

static void futex_wait(_Atomic uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void stay_awake(const q4_team *team, const counter *event, uint32_t value) {
    if (team->crowded)
        return;
    for (uint64_t start = now_ns(); now_ns() - start < AWAKE_NS;)
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(&event->value, memory_order_acquire) != value)
                return;
            q4_relax();
        }
}

// Returns once the event's value differs.
static void wait_while_equal(const q4_team *team, counter *event, uint32_t value, struct q4_prefetch *next) {
    for (int i = 0, spins = team->crowded ? CROWDED_SPINS : SPINS; i < spins; i++) {
        if (atomic_load_explicit(&event->value, memory_order_acquire) != value)
            return;
        if (next && next->at < next->end) {
            __builtin_prefetch(next->at, 0, 2); // into L2
            next->at += 64;
        }
    }
    for (int i = 0; team->crowded && i < YIELDS; i++) {
        sched_yield();
        if (atomic_load_explicit(&event->value, memory_order_acquire) != value)
            return;
    }
    // registered before the last look, so that a release after that look sees a sleeper to wake
    atomic_fetch_add(&event->sleepers, 1);
    while (atomic_load(&event->value) == value)
        futex_wait(&event->value, value);
    atomic_fetch_sub(&event->sleepers, 1);
}

static void advance(counter *event) {
    atomic_fetch_add(&event->value, 1);
    if (atomic_load(&event->sleepers))
        futex_wake_all(&event->value);
}

void q4_team_barrier(q4_team *team, struct q4_prefetch *next) {
    uint32_t active = (uint32_t)team->active; // read before others can leave, and the next run begin
    if (active == 1) {
        atomic_fetch_add_explicit(&team->phase.value, 1, memory_order_relaxed);
        return;
    }
    uint32_t phase = atomic_load_explicit(&team->phase.value, memory_order_relaxed);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == active) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        advance(&team->phase);
    } else {
        wait_while_equal(team, &team->phase, phase, next);
    }
}

static uint64_t share_word(uint32_t round, size_t first, size_t end) {
    return (uint64_t)round << 2 * UNIT_BITS | (uint64_t)end << UNIT_BITS | first;
}

// From the front of the owner's share, or from the back for others.
static bool take_from(q4_team *team, int owner, bool front, uint32_t round, size_t total, size_t most,
                      struct q4_units *units) {
    _Atomic uint64_t *word = &team->shares[owner].word;
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed), left;
    size_t size = (size_t)team->active, member = (size_t)owner;
    do {
        size_t first = (size_t)(seen & UNIT_MASK), end = (size_t)(seen >> UNIT_BITS & UNIT_MASK);
        if (seen >> 2 * UNIT_BITS != round) {
            first = total * member / size;
            end = total * (member + 1) / size;
        }
        if (first == end) {
            // an owner stamps even an empty share, so that no stamp grows as old as the rounds take to repeat
            if (front)
                atomic_store_explicit(word, share_word(round, first, end), memory_order_relaxed);
            return false;
        }
        size_t n = size > 1 ? (end - first + 1) / 2 : end - first;
        n = n < most ? n : most;
        *units = (struct q4_units){front ? first : end - n, n};
        left = front ? share_word(round, first + n, end) : share_word(round, first, end - n);
    } while (!atomic_compare_exchange_weak_explicit(word, &seen, left, memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool q4_team_take(q4_team *team, int member, size_t total, size_t most, struct q4_units *units) {
    uint32_t round = atomic_load_explicit(&team->phase.value, memory_order_relaxed) & ROUND_MASK;
    for (int i = 0; i < team->active; i++)
        if (take_from(team, (member + i) % team->active, i == 0, round, total, most, units))
            return true;
    return false;
}

static void pin(const q4_team *team, int member) {
    if (team->cpus == NULL)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)team->cpus[member], &set);
    sched_setaffinity(0, sizeof set, &set); // a CPU that went offline is no reason to stop: the work runs elsewhere
}

static void *worker_main(void *argument) {
    worker *self = argument;
    q4_team *team = self->team;
    counter *runs = &team->runs[self->member >= team->part];
    pin(team, self->member);
    for (uint32_t seen = 0;; seen++) {
        stay_awake(team, runs, seen);
        wait_while_equal(team, runs, seen, NULL);
        if (atomic_load(&team->stop))
            return NULL;
        team->work(team->context, self->member);
        q4_team_barrier(team, NULL);
    }
}

// Gives a share a round that does not come before units are dealt out anew: a member that was not in the runs before
// has not stamped it, and rounds repeat.
static void forget_share(q4_team *team, int member) {
    uint32_t past = atomic_load_explicit(&team->phase.value, memory_order_relaxed) - 1;
    atomic_store_explicit(&team->shares[member].word, share_word(past & ROUND_MASK, 0, 0), memory_order_relaxed);
}

static bool start_workers(q4_team *team) {
    team->size = team->active = 1;
    for (int i = 0; i < team->members; i++)
        forget_share(team, i);
    for (int i = 1; i < team->members; i++) {
        team->workers[i] = (worker){.team = team, .member = i};
        if (pthread_create(&team->workers[i].thread, NULL, worker_main, &team->workers[i]) != 0)
            return false;
        team->size = team->active = i + 1; // no run happens before all are started, so workers see the final size
    }
    team->process = getpid();
    return true;
}

// A forked process has none of its parent's other threads, and what they held stays held: the team starts anew, with
// fewer members where the system grants no more.
static void follow_fork(q4_team *team) {
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    if (team->process == getpid())
        return;
    pthread_mutex_lock(&one_at_a_time);
    if (team->process != getpid()) {
        pthread_mutex_init(&team->queue, NULL);
        counter *const events[] = {&team->phase, &team->runs[0], &team->runs[1]};
        for (size_t i = 0; i < sizeof events / sizeof *events; i++)
            events[i]->value = events[i]->sleepers = 0;
        team->arrived = 0;
        if (!start_workers(team))
            team->process = getpid();
    }
    pthread_mutex_unlock(&one_at_a_time);
}

void q4_team_forked(q4_team *team) {
    if (team->process != getpid())
        team->size = team->active = 1;
}

void q4_team_run(q4_team *team, int members, void (*work)(void *, int), void *context) {
    follow_fork(team);
    pthread_mutex_lock(&team->queue);
    cpu_set_t before;
    int pinned = team->cpus && sched_getaffinity(0, sizeof before, &before) == 0;
    if (pinned)
        pin(team, 0);
    int active = members < team->size && team->part < team->size ? team->part : team->size;
    for (int i = team->active; i < active; i++)
        forget_share(team, i);
    team->active = active;
    team->work = work;
    team->context = context;
    if (active > 1)
        advance(&team->runs[0]);
    if (active > team->part)
        advance(&team->runs[1]);
    work(context, 0);
    q4_team_barrier(team, NULL);
    if (pinned)
        sched_setaffinity(0, sizeof before, &before);
    pthread_mutex_unlock(&team->queue);
}

int q4_team_size(const q4_team *team) { return team->size; }

int q4_team_active(const q4_team *team) { return team->active; }

// CPUs that n threads have for themselves.
static int available(const int *cpus, int n) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpus == NULL)
        return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    for (int i = 0; i < n; i++)
        CPU_SET((size_t)cpus[i], &set);
    return CPU_COUNT(&set);
}

q4_team *q4_team_new(int n, int part, const int *cpus) {
    q4_team *team = aligned_alloc(64, (sizeof *team + 63) / 64 * 64);
    if (team == NULL)
        return NULL;
    *team = (q4_team){.members = n, .size = 1, .part = part, .crowded = n > available(cpus, n), .process = getpid()};
    pthread_mutex_init(&team->queue, NULL);
    team->workers = calloc((size_t)n, sizeof *team->workers);
    team->shares = aligned_alloc(64, (size_t)n * sizeof *team->shares);
    if (cpus) {
        team->cpus = malloc((size_t)n * sizeof *team->cpus);
        for (int i = 0; team->cpus && i < n; i++)
            team->cpus[i] = cpus[i];
    }
    if (team->workers == NULL || team->shares == NULL || (cpus && team->cpus == NULL) || !start_workers(team)) {
        q4_team_free(team);
        return NULL;
    }
    return team;
}

void q4_team_free(q4_team *team) {
    if (team == NULL)
        return;
    atomic_store(&team->stop, 1);
    advance(&team->runs[0]);
    advance(&team->runs[1]);
    for (int i = 1; i < team->size && team->process == getpid(); i++)
        pthread_join(team->workers[i].thread, NULL);
    pthread_mutex_destroy(&team->queue);
    free(team->workers);
    free(team->shares);
    free(team->cpus);
    free(team);
}
