// The team: every unit of work is taken exactly once, whatever the members' speed and whoever leaves and comes back,
// and barriers hold.
#define _GNU_SOURCE // POSIX beyond C11
#include "test.h"

#include "../threads.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS 12
#define MOST_UNITS 3000

struct team_case {
    q4_team *team;
    size_t totals[ROUNDS], most[ROUNDS];
    int members;            // of the present run
    int slow;               // a member that dawdles; -1: none
    _Atomic uint8_t *taken; // [round][unit]
    _Atomic uint8_t led[ROUNDS];
    _Atomic uint32_t faults;
};

// False: the member has left.
static bool take_units(struct team_case *c, size_t round, int member) {
    _Atomic uint8_t *taken = c->taken + round * MOST_UNITS;
    struct q4_units units;
    while (!q4_team_leaves(c->team, member)) {
        if (!q4_team_take(c->team, member, c->totals[round], c->most[round], &units))
            return true;
        if (units.n == 0 || units.n > c->most[round] || units.first + units.n > c->totals[round])
            atomic_fetch_add(&c->faults, 1);
        for (size_t i = 0; i < units.n && units.first + i < MOST_UNITS; i++)
            atomic_fetch_add(&taken[units.first + i], 1);
    }
    return false;
}

// Rounds of two places each: what one member does, and units for all.
static void take_all(void *context, int member) {
    struct team_case *c = context;
    if (member >= c->members || q4_team_active(c->team) != c->members)
        atomic_fetch_add(&c->faults, 1);
    for (size_t place = q4_team_place(c->team, member); place < (size_t)2 * ROUNDS; place++) {
        size_t round = place / 2;
        if (place % 2 == 0) {
            if (member == q4_team_lead(c->team))
                atomic_fetch_add(&c->led[round], 1);
            q4_team_barrier(c->team, member, place + 1, NULL);
            continue;
        }
        if (member == c->slow && round % 3 == 0)
            usleep(200);
        if (!take_units(c, round, member))
            return;
        q4_team_barrier(c->team, member, place + 1, NULL);
        for (size_t i = 0; i < c->totals[round]; i++) // all are taken now, by whomever
            if (atomic_load(&c->taken[round * MOST_UNITS + i]) != 1)
                atomic_fetch_add(&c->faults, 1);
        if (atomic_load(&c->led[round]) != 1)
            atomic_fetch_add(&c->faults, 1);
    }
}

static bool team_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)subject;
    int n = (int)rng_range(r, 1, 9), part = rng_next(r) & 1 ? n : (int)rng_range(r, 1, (size_t)n);
    struct team_case c = {.team = q4_team_new(n, part, NULL), .slow = (int)rng_range(r, 0, (size_t)n) - 1};
    uint32_t restless = (uint32_t)rng_range(r, 1, 30);
    c.taken = calloc(ROUNDS * MOST_UNITS, sizeof *c.taken);
    for (size_t i = 0; i < ROUNDS; i++) {
        c.totals[i] = rng_range(r, 0, rng_range(r, 0, 1) ? 12 : MOST_UNITS);
        c.most[i] = rng_range(r, 1, 20);
    }
    snprintf(what, size, "%d members, %d in a part, slow: %d, one in %u questions leaves", n, part, c.slow, restless);
    bool ok = c.team && c.taken;
    if (ok)
        q4_team_set_restless(c.team, restless);
    for (int run = 0; ok && run < 4; run++) { // later runs start in other rounds
        c.members = rng_next(r) & 1 ? n : part;
        memset((void *)c.taken, 0, ROUNDS * MOST_UNITS * sizeof *c.taken);
        memset((void *)c.led, 0, sizeof c.led);
        bool present = rng_next(r) % 3;
        while (!present && !q4_team_is_complete(c.team)) // who has left comes back by itself
            sched_yield();
        (present ? q4_team_run_present : q4_team_run)(c.team, c.members, take_all, &c);
        ok = atomic_load(&c.faults) == 0;
        for (size_t i = 0; ok && i < ROUNDS; i++)
            ok = atomic_load(&c.led[i]) == 1;
        for (size_t i = 0; ok && i < ROUNDS * MOST_UNITS; i++)
            ok = atomic_load(&c.taken[i]) == (i % MOST_UNITS < c.totals[i / MOST_UNITS]);
    }
    q4_team_free(c.team);
    free((void *)c.taken);
    return ok;
}

struct idle_case {
    q4_team *team;
    size_t total, barriers;
    _Atomic size_t taken;
};

static void take_and_wait(void *context, int member) {
    struct idle_case *c = context;
    struct q4_units units;
    while (q4_team_take(c->team, member, c->total, 1, &units))
        atomic_fetch_add(&c->taken, units.n);
    for (size_t i = 0; i < c->barriers; i++)
        q4_team_barrier(c->team, member, 0, NULL);
}

// A share keeps the round that it was dealt in, and rounds repeat after 2^20 barriers: a member that slept through as
// many is dealt its units all the same.
static bool idle_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)subject;
    struct idle_case c = {.team = q4_team_new(3, 1, NULL), .total = rng_range(r, 3, 40)};
    size_t between =
        rng_next(r) % 16 ? rng_range(r, 0, 1000) : ((size_t)1 << 20) - 2; // and one behind each of two runs
    snprintf(what, size, "%zu units, %zu barriers between", c.total, between);
    bool ok = c.team != NULL;
    for (int run = 0; ok && run < 3; run++) {
        c.barriers = run == 1 ? between : 0;
        q4_team_run(c.team, run == 1 ? 1 : 3, take_and_wait, &c);
    }
    ok = ok && atomic_load(&c.taken) == 3 * c.total;
    q4_team_free(c.team);
    return ok;
}

void test_threads(void) {
    run_cases("threads/units", team_case, NULL);
    run_cases("threads/idle", idle_case, NULL);
}
