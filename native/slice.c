#define _GNU_SOURCE // RUSAGE_THREAD
#include "slice.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>

// While nothing else is known, the clock is read at every so manieth question …
#define ASKED 16
// … and the thread's switches are counted after so long.
#define CHECK_NS 2000000
// Away for less, the thread has not lost a turn: interrupts, and the system's own short work.
#define LOST_NS 300000
// Two turns lost within this time are no chance.
#define AGAIN_NS 50000000
// A turn's length: of the first, and its bounds. Each that was not cut off lets the next be a little longer.
#define FIRST_NS 1500000
#define LEAST_NS 300000
#define MOST_NS 8000000
// A rest from which the thread comes back within this time was nobody's turn; after so many in a row it is alone.
#define AT_ONCE_NS 50000
#define ALONE 8

static uint64_t read_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// What has happened since the last look.
struct look {
    bool taken, slept;
};

static struct look look(struct q4_slice *slice) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    struct look found = {usage.ru_nivcsw != slice->taken, usage.ru_nvcsw != slice->slept};
    slice->taken = usage.ru_nivcsw;
    slice->slept = usage.ru_nvcsw;
    return found;
}

// While the thread seems to be alone on its CPU.
static void watch(struct q4_slice *slice) {
    uint64_t now = read_ns(CLOCK_MONOTONIC), passed = now - slice->seen;
    if (passed < CHECK_NS)
        return;
    uint64_t used = read_ns(CLOCK_THREAD_CPUTIME_ID), worked = used - slice->used;
    struct look found = look(slice);
    if (found.taken && !found.slept && passed > worked + LOST_NS) {
        slice->shared = now - slice->robbed < AGAIN_NS;
        slice->robbed = now;
        slice->length = FIRST_NS;
        slice->alone = 0;
    }
    slice->since = slice->seen = now;
    slice->used = used;
}

bool q4_slice_ends(struct q4_slice *slice) {
    if (!slice->shared) {
        if (++slice->asked % ASKED == 0)
            watch(slice);
        return false;
    }
    uint64_t now = read_ns(CLOCK_MONOTONIC);
    if (now - slice->seen > LOST_NS) {
        struct look found = look(slice);
        if (found.taken) {
            uint64_t had = (slice->seen - slice->since) / 4 * 3;
            slice->length = had < LEAST_NS ? LEAST_NS : had < MOST_NS ? had : MOST_NS;
        }
        if (found.taken || found.slept)
            slice->since = now;
    }
    slice->seen = now;
    return now - slice->since > slice->length;
}

void q4_slice_rest(struct q4_slice *slice) {
    uint64_t left = read_ns(CLOCK_MONOTONIC);
    sched_yield();
    uint64_t now = read_ns(CLOCK_MONOTONIC);
    slice->alone = now - left < AT_ONCE_NS ? slice->alone + 1 : 0;
    if (slice->alone == ALONE)
        slice->shared = false;
    slice->length += slice->length / 16;
    if (slice->length > MOST_NS)
        slice->length = MOST_NS;
    slice->since = slice->seen = now;
    slice->used = read_ns(CLOCK_THREAD_CPUTIME_ID);
    look(slice); // to yield counts as a switch
}
