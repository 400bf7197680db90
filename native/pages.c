#define _GNU_SOURCE
#include "pages.h"

#include "q4.h"

#include <sys/mman.h>
#include <time.h>

#define WATCHED ((size_t)64 << 20) // less than this is filled before anything could be told
#define SLOW_PAGES 3
#define SMALL_PAGE 4096
#ifndef MADV_POPULATE_WRITE // Linux 5.14; older kernels refuse, and the pages come by faults
#define MADV_POPULATE_WRITE 23
#endif

static uint64_t thread_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); // time that others had the CPU for is no cost of the page
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Gaps that AddressSanitizer watches may lie in it.
__attribute__((no_sanitize("address"))) static uint64_t touch(uint8_t *first, size_t bytes) {
    uint64_t start = thread_ns();
    for (size_t i = 0; i < bytes; i += SMALL_PAGE)
        *(volatile uint8_t *)(first + i) = 0;
    return thread_ns() - start;
}

void q4_watch_pages(struct q4_page_watch *watch, void *memory, size_t bytes) {
    *watch = (struct q4_page_watch){.end = NULL};
    if (bytes < WATCHED)
        return;
    uint8_t *end = (uint8_t *)memory + bytes / Q4_HUGE_PAGE * Q4_HUGE_PAGE, *last = end - Q4_HUGE_PAGE;
    if (madvise(last, Q4_HUGE_PAGE, MADV_NOHUGEPAGE) != 0)
        return; // a kernel without huge pages
    watch->small_ns = touch(last, Q4_HUGE_PAGE);
    watch->end = last;
}

void q4_watch_fill(struct q4_page_watch *watch, uint8_t *first, size_t bytes) {
    if (watch->end == NULL)
        return;
    if (atomic_load(&watch->slow) >= SLOW_PAGES) { // all of them at once, which saves their faults
        uint8_t *start = (uint8_t *)q4_round_up((uintptr_t)first, SMALL_PAGE);
        if (start < first + bytes)
            madvise(start, (size_t)(first + bytes - start), MADV_POPULATE_WRITE);
        return;
    }
    uint8_t *page = (uint8_t *)q4_round_up((uintptr_t)first, Q4_HUGE_PAGE);
    if (page >= first + bytes || page >= watch->end)
        return;
    if (touch(page, 1) > 2 * watch->small_ns && atomic_fetch_add(&watch->slow, 1) + 1 == SLOW_PAGES)
        madvise(page + Q4_HUGE_PAGE, (size_t)(watch->end - page - Q4_HUGE_PAGE), MADV_NOHUGEPAGE);
}
