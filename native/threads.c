#define _GNU_SOURCE
#include "threads.h"

#include "instructions.h" // of the architecture that is built for
#include "slice.h"

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

struct member {
    _Alignas(64) q4_team *team;
    pthread_t thread; // not of member 0
    int number;
    bool left;             // the run that it was in, and is not back
    bool settled;          // on the CPU of its number among the team's
    size_t place;          // where its work begins
    uint32_t questions;    // whether it leaves, in tests
    struct q4_slice slice; // of its CPU
};

struct q4_team {
    counter phase;                         // counts barriers; waiters poll it while arrivals hit `meeting`
    _Alignas(64) _Atomic uint64_t meeting; // who is in the run and who has arrived (below)
    size_t place;                          // where work goes on behind the last barrier
    int lead;                              // whose what is one member's is, until the next
    uint32_t run;                          // the number of the present run, or the last
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
    bool leaving; // members may leave the present run
    bool full;    // as many members as CPUs, each of which may run anywhere
    cpu_set_t home;
    uint32_t restless; // in tests: at which questions members leave
    int *cpus;
    struct member *all;    // [members]
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

static bool is_past(counter *event, uint32_t value) {
    return (int32_t)(atomic_load_explicit(&event->value, memory_order_acquire) - value) > 0;
}

static void stay_awake(const q4_team *team, counter *event, uint32_t value) {
    if (team->crowded)
        return;
    for (uint64_t start = now_ns(); now_ns() - start < AWAKE_NS;)
        for (int i = 0; i < 64; i++) {
            if (is_past(event, value))
                return;
            q4_relax();
        }
}

// Returns once the event's value has passed this one.
static void wait_until_past(const q4_team *team, counter *event, uint32_t value, struct q4_prefetch *next) {
    for (int i = 0, spins = team->crowded ? CROWDED_SPINS : SPINS; i < spins; i++) {
        if (is_past(event, value))
            return;
        if (next && next->at < next->end) {
            __builtin_prefetch(next->at, 0, 2); // into L2
            next->at += 64;
        }
    }
    for (int i = 0; team->crowded && i < YIELDS; i++) {
        sched_yield();
        if (is_past(event, value))
            return;
    }
    // registered before the last look, so that a release after that look sees a sleeper to wake
    atomic_fetch_add(&event->sleepers, 1);
    for (uint32_t seen; (int32_t)((seen = atomic_load(&event->value)) - value) <= 0;)
        futex_wait(&event->value, seen);
    atomic_fetch_sub(&event->sleepers, 1);
}

static void advance(counter *event) {
    atomic_fetch_add(&event->value, 1);
    if (atomic_load(&event->sleepers))
        futex_wake_all(&event->value);
}

// ---- meetings -----------------------------------------------------------------------------------

// One word says it all, so that who arrives, leaves and comes back agree on what they found: the barrier's number, and
// flags and counts of those in the run.
#define PHASE_SHIFT 32
#define OVER ((uint64_t)1 << 19)     // no run, or one that all have gone through
#define HAS_ZERO ((uint64_t)1 << 18) // member 0 is among those expected
#define EXPECTED_SHIFT 9             // members in the run
#define EXPECTED ((uint64_t)1 << EXPECTED_SHIFT)
#define COUNT_MASK (EXPECTED - 1)
_Static_assert(Q4_MAX_THREADS <= COUNT_MASK, "counts of members fit");

static uint32_t phase_of(uint64_t meeting) { return (uint32_t)(meeting >> PHASE_SHIFT); }
static uint64_t expected_of(uint64_t meeting) { return meeting >> EXPECTED_SHIFT & COUNT_MASK; }
static uint64_t arrived_of(uint64_t meeting) { return meeting & COUNT_MASK; }

static bool replace(q4_team *team, uint64_t *seen, uint64_t with) {
    return atomic_compare_exchange_weak(&team->meeting, seen, with);
}

// Waits for all who are in the run. The last to arrive lets them go on: nobody comes in or leaves before.
static void meet(q4_team *team, int member, size_t place, uint64_t over, struct q4_prefetch *next) {
    if (team->active == 1) { // read before others can leave, and the next run begin
        atomic_fetch_add_explicit(&team->phase.value, 1, memory_order_relaxed);
        return;
    }
    uint64_t seen = atomic_fetch_add(&team->meeting, 1);
    uint32_t phase = phase_of(seen);
    if (arrived_of(seen) + 1 < expected_of(seen)) {
        wait_until_past(team, &team->phase, phase, next);
        return;
    }
    team->place = place;
    team->lead = seen & HAS_ZERO ? 0 : member;
    uint64_t kept = seen & (COUNT_MASK << EXPECTED_SHIFT | HAS_ZERO);
    atomic_store(&team->meeting, (uint64_t)(phase + 1) << PHASE_SHIFT | kept | over);
    advance(&team->phase);
}

void q4_team_barrier(q4_team *team, int member, size_t place, struct q4_prefetch *next) {
    meet(team, member, place, 0, next);
}

// Behind the work.
static void meet_at_end(q4_team *team, int member) { meet(team, member, 0, OVER, NULL); }

bool q4_team_leaves(q4_team *team, int member) {
    struct member *self = &team->all[member];
    if (!team->leaving || !(team->restless ? ++self->questions % team->restless == 0 : q4_slice_ends(&self->slice)))
        return false;
    uint64_t seen = atomic_load(&team->meeting), left = EXPECTED | (member == 0 ? HAS_ZERO : 0);
    do {
        if (expected_of(seen) < 2 || arrived_of(seen) + 1 == expected_of(seen))
            return false; // the only one, or the last: nobody takes what it leaves, and nothing is left
    } while (!replace(team, &seen, seen - left));
    self->left = true;
    return true;
}

// A member that has left comes back, to the run that is under way, or to its place between two runs. True: it is in a
// run. run: the number of the last that it has to do with.
static bool come_back(q4_team *team, struct member *self, uint32_t *run) {
    uint64_t seen = atomic_load(&team->meeting), back = EXPECTED | (self->number == 0 ? HAS_ZERO : 0);
    for (;;) {
        // while all but the last step of a barrier is done, nobody comes in: what is read here holds if the word does
        while (!(seen & OVER) && arrived_of(seen) == expected_of(seen)) {
            sched_yield();
            seen = atomic_load(&team->meeting);
        }
        *run = atomic_load(&team->runs[0].value); // of a run that begins after this, the member is told as all are
        self->left = false;
        if (replace(team, &seen, seen + back))
            break;
    }
    if (seen & OVER)
        return false;
    wait_until_past(team, &team->phase, phase_of(seen) - 1, NULL);
    self->place = team->place;
    *run = team->run;
    return true;
}

bool q4_team_shares_cpu(const q4_team *team, int member) { return team->all[member].slice.shared; }

size_t q4_team_place(const q4_team *team, int member) { return team->all[member].place; }

int q4_team_lead(const q4_team *team) { return team->lead; }

void q4_team_set_restless(q4_team *team, uint32_t every) { team->restless = every; }

// Where there are no more CPUs than members, one that shares its CPU is not to be moved to another member's.
static void settle(q4_team *team, struct member *self, bool here) {
    if (!team->full || here == self->settled)
        return;
    cpu_set_t set = team->home;
    for (int cpu = 0, seen = 0; here && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &team->home) && seen++ != self->number)
            CPU_CLR((size_t)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
    self->settled = here;
}

// The member's work, as often as it leaves and comes back. False: the run has ended without it.
static bool do_work(q4_team *team, struct member *self, uint32_t *run) {
    for (self->place = 0;;) {
        settle(team, self, self->slice.shared);
        team->work(team->context, self->number);
        if (!self->left)
            return true;
        q4_slice_rest(&self->slice);
        if (!come_back(team, self, run))
            return false;
    }
}

// ---- units --------------------------------------------------------------------------------------

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
            // an empty share is stamped, so that no stamp grows as old as the rounds take to repeat: by its owner, and
            // where that one is away by others in time
            bool old = ((round - (uint32_t)(seen >> 2 * UNIT_BITS)) & ROUND_MASK) > ROUND_MASK / 2;
            if (front || old)
                atomic_compare_exchange_strong_explicit(word, &seen, share_word(round, first, end),
                                                        memory_order_relaxed, memory_order_relaxed);
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
    struct member *self = argument;
    q4_team *team = self->team;
    counter *runs = &team->runs[self->number >= team->part];
    pin(team, self->number);
    for (uint32_t seen = 0; !atomic_load(&team->stop);) { // where it comes back to, nobody may tell of it any more
        stay_awake(team, runs, seen);
        wait_until_past(team, runs, seen, NULL);
        if (atomic_load(&team->stop))
            return NULL;
        seen++;
        if (do_work(team, self, &seen))
            meet_at_end(team, self->number);
    }
    return NULL;
}

// Gives a share a round that does not come before units are dealt out anew: a member that was not in the runs before
// has not stamped it, and rounds repeat.
static void forget_share(q4_team *team, int member) {
    uint32_t past = atomic_load_explicit(&team->phase.value, memory_order_relaxed) - 1;
    atomic_store_explicit(&team->shares[member].word, share_word(past & ROUND_MASK, 0, 0), memory_order_relaxed);
}

static bool start_workers(q4_team *team) {
    team->size = team->active = 1;
    for (int i = 0; i < team->members; i++) {
        forget_share(team, i);
        team->all[i] = (struct member){.team = team, .number = i};
    }
    for (int i = 1; i < team->members; i++) {
        if (pthread_create(&team->all[i].thread, NULL, worker_main, &team->all[i]) != 0)
            return false;
        team->size = team->active = i + 1; // no run happens before all are started, so workers see the final size
        team->meeting = OVER | HAS_ZERO | (uint64_t)team->size << EXPECTED_SHIFT;
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
        team->run = 0;
        if (!start_workers(team))
            team->process = getpid();
    }
    pthread_mutex_unlock(&one_at_a_time);
}

void q4_team_forked(q4_team *team) {
    if (team->process == getpid())
        return;
    team->size = team->active = 1;
    team->leaving = false;
}

// Where part and others sleep apart, none leaves; nor where the members themselves share CPUs, and yield as they wait.
static bool may_leave(const q4_team *team) {
    return team->part == team->size && team->size > 1 && (!team->crowded || team->restless);
}

// Opens a run for its members, or of those that may leave for the ones that are there.
static void open_meeting(q4_team *team) {
    uint64_t phase = (uint64_t)atomic_load(&team->phase.value) << PHASE_SHIFT;
    uint64_t all = HAS_ZERO | (uint64_t)team->active << EXPECTED_SHIFT, seen = atomic_load(&team->meeting);
    team->place = 0;
    team->lead = 0;
    team->run = atomic_load(&team->runs[0].value) + 1;
    while (!replace(team, &seen, phase | (may_leave(team) ? seen & (COUNT_MASK << EXPECTED_SHIFT | HAS_ZERO) : all)))
        ;
}

// In a forked process none of its parent's members is waited for.
bool q4_team_is_complete(const q4_team *team) {
    return !may_leave(team) || team->process != getpid() || (int)expected_of(atomic_load(&team->meeting)) == team->size;
}

static void run(q4_team *team, int members, bool leaving, void (*work)(void *, int), void *context) {
    int active = members < team->size && team->part < team->size ? team->part : team->size;
    for (int i = team->active; i < active; i++)
        forget_share(team, i);
    team->active = active;
    team->work = work;
    team->context = context;
    team->leaving = leaving && may_leave(team);
    while (!leaving && !q4_team_is_complete(team)) // those who are away come back to their places between runs
        sched_yield();
    if (active > 1) {
        open_meeting(team);
        advance(&team->runs[0]);
    }
    if (active > team->part)
        advance(&team->runs[1]);
    uint32_t ignored;
    if (do_work(team, &team->all[0], &ignored))
        meet_at_end(team, 0);
    settle(team, &team->all[0], false); // it is the caller's
}

static void start_run(q4_team *team, int members, bool leaving, void (*work)(void *, int), void *context) {
    follow_fork(team);
    pthread_mutex_lock(&team->queue);
    cpu_set_t before;
    int pinned = team->cpus && sched_getaffinity(0, sizeof before, &before) == 0;
    if (pinned)
        pin(team, 0);
    run(team, members, leaving, work, context);
    if (pinned)
        sched_setaffinity(0, sizeof before, &before);
    pthread_mutex_unlock(&team->queue);
}

void q4_team_run(q4_team *team, int members, void (*work)(void *, int), void *context) {
    start_run(team, members, false, work, context);
}

void q4_team_run_present(q4_team *team, int members, void (*work)(void *, int), void *context) {
    start_run(team, members, true, work, context);
}

int q4_team_size(const q4_team *team) { return team->size; }

int q4_team_active(const q4_team *team) { return team->active; }

// CPUs that n threads have for themselves.
static cpu_set_t available(const int *cpus, int n) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpus == NULL)
        sched_getaffinity(0, sizeof set, &set);
    for (int i = 0; cpus && i < n; i++)
        CPU_SET((size_t)cpus[i], &set);
    return set;
}

q4_team *q4_team_new(int n, int part, const int *cpus) {
    q4_team *team = aligned_alloc(64, (sizeof *team + 63) / 64 * 64);
    if (team == NULL)
        return NULL;
    *team = (q4_team){.members = n, .size = 1, .part = part, .home = available(cpus, n), .process = getpid()};
    team->crowded = n > CPU_COUNT(&team->home);
    team->full = cpus == NULL && n == CPU_COUNT(&team->home);
    pthread_mutex_init(&team->queue, NULL);
    team->all = aligned_alloc(64, (size_t)n * sizeof *team->all);
    team->shares = aligned_alloc(64, (size_t)n * sizeof *team->shares);
    if (cpus) {
        team->cpus = malloc((size_t)n * sizeof *team->cpus);
        for (int i = 0; team->cpus && i < n; i++)
            team->cpus[i] = cpus[i];
    }
    if (team->all == NULL || team->shares == NULL || (cpus && team->cpus == NULL) || !start_workers(team)) {
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
        pthread_join(team->all[i].thread, NULL);
    pthread_mutex_destroy(&team->queue);
    free(team->all);
    free(team->shares);
    free(team->cpus);
    free(team);
}
