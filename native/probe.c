#define _GNU_SOURCE // POSIX beyond C11
#include "probe.h"

#include "q4.h"

#include <time.h>

struct probe {
    q4_team *team;
    int members;
    const uint8_t *data;
    size_t bytes, iterations;
    const struct q4_int8_peak *peak;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double timed(struct probe *probe, void (*work)(void *, int)) {
    double start = now();
    q4_team_run(probe->team, probe->members, work, probe);
    return now() - start;
}

#define PIECE ((size_t)1 << 20)

static void read_pieces(void *context, int member) {
    const struct probe *probe = context;
    uint64_t sum = (uint64_t)member;
    struct q4_units piece;
    while (q4_team_take(probe->team, member, (probe->bytes + PIECE - 1) / PIECE, 1, &piece)) {
        size_t at = piece.first * PIECE;
        sum += q4_read_stream(probe->data + at, q4_min_size(PIECE, probe->bytes - at) / 64 * 64);
    }
    volatile uint64_t sink = sum;
    (void)sink;
}

static void run_peak(void *context, int member) {
    const struct probe *probe = context;
    (void)member;
    probe->peak->run(probe->iterations);
}

double q4_probe_read(q4_team *team, int members, const void *p, size_t n) {
    struct probe probe = {.team = team, .members = members, .data = p, .bytes = n};
    return timed(&probe, read_pieces);
}

double q4_probe_int8(q4_team *team, int members, const struct q4_int8_peak *peak, size_t iterations) {
    struct probe probe = {.team = team, .members = members, .peak = peak, .iterations = iterations};
    return timed(&probe, run_peak);
}

const struct q4_int8_peak *q4_int8_peak_for(uint32_t features) {
    const struct q4_int8_peak *p = q4_arch_int8_peaks;
    while (p->name && (p->features & ~features))
        p++;
    return p->name ? p : NULL;
}
