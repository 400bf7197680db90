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
// Inside a run: how many members walk it.
int q4_team_active(const q4_team *team);

// Inside a run, on member 0, which leaves it: where it has forked this process, whose other members stayed behind, they
// are waited for no longer. What they were to do is not done.
void q4_team_forked(q4_team *team);

// Memory that a member will read next. Waiting, it asks for it line by line.
struct q4_prefetch {
    const uint8_t *at, *end;
};

// Inside a run: waits until every member is here. Brief spinning, then sleep. next: used up as far as time allowed;
// may be NULL.
void q4_team_barrier(q4_team *team, struct q4_prefetch *next);

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
