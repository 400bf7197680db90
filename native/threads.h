// A fixed team of threads that walks one function together.
#ifndef Q4_THREADS_H
#define Q4_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define Q4_MAX_THREADS 256

typedef struct q4_team q4_team;

// The calling thread is member 0; n - 1 others are started and sleep until work comes. part: how many members, 1 to n,
// walk runs that do not take all. cpus: the CPU that each member is pinned to while it works (n entries), or NULL. NULL
// when threads cannot be started.
q4_team *q4_team_new(int n, int part, const int *cpus);
void q4_team_free(q4_team *team);
int q4_team_size(const q4_team *team);

// Runs work(context, member) on every member, or on the part's where fewer `members` than all are asked for, and
// returns when all of them have returned; the others sleep on. One run at a time: callers queue.
void q4_team_run(q4_team *team, int members, void (*work)(void *context, int member), void *context);
// The same for work that members may leave (q4_team_leaves). One that left a run before and is not back yet is not
// waited for.
void q4_team_run_present(q4_team *team, int members, void (*work)(void *context, int member), void *context);
// Whether no member is away. Who may be interrupted waits for that before q4_team_run, which waits for it in any case.
bool q4_team_is_complete(const q4_team *team);
// Inside a run: how many members walk it, those included that have left.
int q4_team_active(const q4_team *team);

// Inside a run, on member 0, which leaves it: where it has forked this process, whose other members stayed behind, they
// are waited for no longer. What they were to do is not done.
void q4_team_forked(q4_team *team);

// Memory that a member will read next. Waiting, it asks for it line by line.
struct q4_prefetch {
    const uint8_t *at, *end;
};

// Inside a run: waits until every member is here that has not left. Brief spinning, then sleep. next: used up as far as
// time allowed; may be NULL. place: where the work goes on behind the barrier; members name the same.
void q4_team_barrier(q4_team *team, int member, size_t place, struct q4_prefetch *next);

// A member whose CPU another program is about to get leaves the run, so that the others wait for nothing that it holds,
// and comes back when it has the CPU again: work is called anew, at the place that the others have come to.

// Inside a run, before units are taken, where the member holds nothing: true when it has left, and must return from
// work at once without touching what belongs to the run. At least one member stays.
bool q4_team_leaves(q4_team *team, int member);
// Inside a run: whether another program has the member's CPU in turns with it. It takes little at a time then.
bool q4_team_shares_cpu(const q4_team *team, int member);
// Inside a run: where the member's work begins. 0, or behind which barrier a member comes in that had left.
size_t q4_team_place(const q4_team *team, int member);
// Inside a run: the member that does what is one member's, the same from one barrier to the next. Member 0, or another
// while that one is away.
int q4_team_lead(const q4_team *team);
// For tests, before the first run: members leave at every so manieth question, whoever else has their CPUs.
void q4_team_set_restless(q4_team *team, uint32_t every);

// Units of work: first, first + 1, …, first + n - 1.
struct q4_units {
    size_t first, n;
};

// Inside a run: takes some (at most `most`) of the units 0 … total - 1 that no member has taken since the last barrier,
// and says which; false when all are taken. All members name the same total, below Q4_MAX_UNITS. A member starts with a
// share of its own and goes through it front to back, so what it reads is one stream; one that has finished its own
// takes from the back of another's. Takes get smaller towards a share's end, so that all end together.
#define Q4_MAX_UNITS ((size_t)1 << 22)
bool q4_team_take(q4_team *team, int member, size_t total, size_t most, struct q4_units *units);

#endif
