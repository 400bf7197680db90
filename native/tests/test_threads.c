// The team: every unit of work is taken exactly once, whatever the members' speed, and barriers hold.
#define _GNU_SOURCE // POSIX beyond C11
#include "test.h"

#include "../threads.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS 12
#define MOST_UNITS 3000

struct team_case {
    q4_team *team;
    size_t totals[ROUNDS], most[ROUNDS];
    int slow;               // a member that dawdles; -1: none
    _Atomic uint8_t *taken; // [round][unit]
    _Atomic uint32_t faults;
};

static void take_all(void *context, int member) {
    struct team_case *c = context;
    for (size_t round = 0; round < ROUNDS; round++) {
        _Atomic uint8_t *taken = c->taken + round * MOST_UNITS;
        struct q4_units units;
        if (member == c->slow && round % 3 == 0)
            usleep(200);
        while (q4_team_take(c->team, member, c->totals[round], c->most[round], &units)) {
            if (units.n == 0 || units.n > c->most[round] || units.first + units.n > c->totals[round])
                atomic_fetch_add(&c->faults, 1);
            for (size_t i = 0; i < units.n && units.first + i < MOST_UNITS; i++)
                atomic_fetch_add(&taken[units.first + i], 1);
        }
        q4_team_barrier(c->team, NULL);
        for (size_t i = 0; i < c->totals[round]; i++) // all are taken now, by whomever
            if (atomic_load(&taken[i]) != 1)
                atomic_fetch_add(&c->faults, 1);
    }
}

static bool team_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)subject;
    int n = (int)rng_range(r, 1, 9);
    struct team_case c = {.team = q4_team_new(n, NULL), .slow = (int)rng_range(r, 0, (size_t)n) - 1};
    c.taken = calloc(ROUNDS * MOST_UNITS, sizeof *c.taken);
    for (size_t i = 0; i < ROUNDS; i++) {
        c.totals[i] = rng_range(r, 0, rng_range(r, 0, 1) ? 12 : MOST_UNITS);
        c.most[i] = rng_range(r, 1, 20);
    }
    snprintf(what, size, "%d members, slow: %d", n, c.slow);
    bool ok = c.team && c.taken;
    for (int run = 0; ok && run < 2; run++) { // the second run starts in other rounds
        memset((void *)c.taken, 0, ROUNDS * MOST_UNITS * sizeof *c.taken);
        q4_team_run(c.team, take_all, &c);
        ok = atomic_load(&c.faults) == 0;
    }
    q4_team_free(c.team);
    free((void *)c.taken);
    return ok;
}

void test_threads(void) { run_cases("threads/units", team_case, NULL); }
