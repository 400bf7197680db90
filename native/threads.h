// A fixed team of threads that walks one function together.
#ifndef Q4_THREADS_H
#define Q4_THREADS_H

#include <stddef.h>
#include <stdint.h>

#define Q4_MAX_THREADS 256

typedef struct q4_team q4_team;

// The calling thread is member 0; n - 1 others are started and sleep until work comes. cpus: the CPU that each member
// is pinned to while it works (n entries), or NULL. NULL when threads cannot be started.
q4_team *q4_team_new(int n, const int *cpus);
void q4_team_free(q4_team *team);
int q4_team_size(const q4_team *team);

// Runs work(context, member) on every member and returns when all have returned. One run at a time: callers queue.
void q4_team_run(q4_team *team, void (*work)(void *context, int member), void *context);

// Inside a run: waits until every member is here. Brief spinning, then sleep.
void q4_team_barrier(q4_team *team);

// Inside a run: the next of the numbers 0, 1, 2, … that no member has taken since the last barrier.
size_t q4_team_next(q4_team *team);

#endif
