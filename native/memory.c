#define _GNU_SOURCE
#include "memory.h"

#include "pages.h"
#include "q4.h"

#include <sys/mman.h>

void *q4_alloc(size_t bytes, enum q4_pages pages) {
    // mapping a huge page more than asked for lets the start be aligned to one
    size_t align = pages == Q4_PAGES_HUGE && bytes >= Q4_HUGE_PAGE ? Q4_HUGE_PAGE : 4096, length;
    if (bytes == 0 || __builtin_add_overflow(q4_round_up(bytes, 4096), align, &length))
        return NULL;
    uint8_t *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    uint8_t *start = (uint8_t *)q4_round_up((uintptr_t)p, align);
    size_t kept = q4_round_up(bytes, 4096);
    if (start > p)
        munmap(p, (size_t)(start - p));
    if (p + length > start + kept)
        munmap(start + kept, (size_t)(p + length - (start + kept)));
    // a hint either way, so a refusal (a kernel without huge pages) changes nothing
    madvise(start, kept, pages == Q4_PAGES_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return start;
}

void q4_free(void *p, size_t bytes) {
    if (p == NULL)
        return;
    q4_open(p, q4_round_up(bytes, 4096)); // whoever gets these addresses next
    munmap(p, q4_round_up(bytes, 4096));
}
