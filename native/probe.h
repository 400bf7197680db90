// The two loops of peak.h, run by a team and timed: the limits that bench compares the engine with.
#ifndef Q4_PROBE_H
#define Q4_PROBE_H

#include "peak.h"
#include "threads.h"

// Seconds that members of the team (threads.h) take to read n bytes once; the last n % 64 are left out. Threads take
// pieces in turn, as they take rows of a matrix.
double q4_probe_read(q4_team *team, int members, const void *p, size_t n);

// Seconds that they take to run the loop, `iterations` on each thread.
double q4_probe_int8(q4_team *team, int members, const struct q4_int8_peak *peak, size_t iterations);

// The fastest loop for these CPU features; NULL where the architecture has none for them.
const struct q4_int8_peak *q4_int8_peak_for(uint32_t features);

#endif
