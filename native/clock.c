#define _GNU_SOURCE
#include "clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t q4_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool q4_counter_is_the_clock(void) {
    char name[32] = "";
    FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (file == NULL)
        return false;
    bool read = fgets(name, sizeof name, file) != NULL;
    fclose(file);
    return read && (strcmp(name, "tsc\n") == 0 || strcmp(name, "arch_sys_counter\n") == 0);
}

// Of two attempts the one in which less time passed between the readings.
void q4_clock_both(bool ticking, uint64_t *ns, q4_ticks *ticks) {
    q4_ticks least = UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        q4_ticks before = q4_stamp(ticking);
        uint64_t now = q4_now_ns();
        q4_ticks after = q4_stamp(ticking);
        if (!ticking)
            before = after = now;
        if (after - before < least) {
            least = after - before;
            *ns = now;
            *ticks = before + (after - before) / 2;
        }
    }
}
