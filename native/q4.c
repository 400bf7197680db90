#define _GNU_SOURCE
#include "q4.h"

#include <sys/mman.h>

static const struct {
    int type;
    const char *name;
    size_t columns, bytes;
} TYPES[] = {
    {Q4_TYPE_F32, "F32", 1, 4},
    {Q4_TYPE_F16, "F16", 1, 2},
    {Q4_TYPE_BF16, "BF16", 1, 2},
    {Q4_TYPE_Q4_0, "Q4_0", Q4_BLOCK, sizeof(q4_block_q4_0)},
    {Q4_TYPE_Q4_1, "Q4_1", Q4_BLOCK, sizeof(q4_block_q4_1)},
    {Q4_TYPE_Q8_0, "Q8_0", Q4_BLOCK, sizeof(q4_block_q8_0)},
    {Q4_TYPE_Q6_K, "Q6_K", Q4_SUPER, sizeof(q4_block_q6_k)},
};
#define N_TYPES (sizeof TYPES / sizeof *TYPES)

bool q4_type_block(int type, size_t *columns, size_t *bytes) {
    for (size_t i = 0; i < N_TYPES; i++)
        if (TYPES[i].type == type) {
            *columns = TYPES[i].columns;
            *bytes = TYPES[i].bytes;
            return true;
        }
    return false;
}

const char *q4_type_name(int type) {
    for (size_t i = 0; i < N_TYPES; i++)
        if (TYPES[i].type == type)
            return TYPES[i].name;
    return "unknown";
}

// Mapping a huge page more than asked for lets the start be aligned to one.
#define HUGE_PAGE ((size_t)2 << 20)

void *q4_alloc(size_t bytes, enum q4_pages pages) {
    size_t align = pages == Q4_PAGES_HUGE && bytes >= HUGE_PAGE ? HUGE_PAGE : 4096, length;
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
    if (p)
        munmap(p, q4_round_up(bytes, 4096));
}
