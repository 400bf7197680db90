#include "cost.h"

#include "../../native/q4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Different bodies, or the compiler may make one function of the two.
__attribute__((noinline)) void q4_cost_begin(void) { __asm__ volatile("// begin" ::: "memory"); }
__attribute__((noinline)) void q4_cost_end(void) { __asm__ volatile("// end" ::: "memory"); }

static uint32_t random_state = 1;

uint32_t q4_cost_random(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

void *q4_cost_allocate(size_t bytes) {
    size_t size = q4_round_up(bytes, 64);
    void *p = aligned_alloc(64, size);
    if (p == NULL) {
        fprintf(stderr, "out of memory: %zu bytes\n", bytes);
        exit(1);
    }
    return memset(p, 0, size);
}
