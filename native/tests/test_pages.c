// Memory that is filled piece by piece while pages are watched: it stays zeroed, and each piece is its own.
#include "test.h"

#include "../memory.h"
#include "../pages.h"

#include <stdlib.h>

// `subject`: whether huge pages are taken for slow ones, so that what is left becomes small.
static bool fill_case(struct rng *r, const void *subject, char *what, size_t size) {
    size_t bytes = ((size_t)64 << 20) + rng_range(r, 0, 3 * Q4_HUGE_PAGE), at = 0, pieces = 0;
    uint8_t *memory = q4_alloc(bytes, Q4_PAGES_HUGE);
    if (memory == NULL) {
        snprintf(what, size, "no memory for %zu bytes", bytes);
        return false;
    }
    struct q4_page_watch watch;
    q4_watch_pages(&watch, memory, bytes);
    bool ok = watch.end != NULL && watch.end < memory + bytes;
    if (subject)
        watch.small_ns = 0;
    for (; ok && at < bytes; pieces++) {
        size_t n = q4_min_size(1 + rng_range(r, 0, 3 * Q4_HUGE_PAGE), bytes - at);
        q4_watch_fill(&watch, memory + at, n);
        ok = (at == 0 || memory[at - 1] == 1) && memory[at] == 0 && memory[at + n - 1] == 0;
        memset(memory + at, 1, n);
        at += n;
    }
    for (size_t i = 0; ok && i < bytes; i += 509)
        ok = memory[i] == 1;
    snprintf(what, size, "%zu bytes, %zu pieces, %d slow pages", bytes, pieces, watch.slow);
    q4_free(memory, bytes);
    return ok && (subject == NULL || watch.slow >= 3);
}

void test_pages(void) {
    run_cases("pages/filled", fill_case, NULL);
    run_cases("pages/slow", fill_case, "slow");
}
