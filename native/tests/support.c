// Random numbers, guarded memory, comparison.
#define _GNU_SOURCE // POSIX beyond C11
#include "test.h"

#include "../ops/q4math.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATTERN 0xa5
#define MARGIN 4096

uint64_t rng_next(struct rng *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t rng_range(struct rng *r, size_t low, size_t high) { return low + rng_next(r) % (high - low + 1); }

float rng_float(struct rng *r, float magnitude) {
    int32_t unit = (int32_t)(rng_next(r) >> 39) - (1 << 24); // -2^24 .. 2^24 - 1
    return (float)unit * 0x1p-24f * magnitude;
}

uint16_t rng_half(struct rng *r) {
    static const uint16_t extremes[] = {0x7bff, 0xfbff, 0x0001, 0x8001, 0x03ff, 0x0400, 0x8000, 0x0000};
    uint64_t u = rng_next(r);
    if (u % 4 == 0)
        return extremes[u >> 8 & 7];
    return q4_float_to_half(rng_float(r, u % 4 == 1 ? 0.05f : 2000.0f));
}

void rng_fill(struct rng *r, float *x, size_t n, float largest) {
    static const float magnitudes[] = {1.0f, 1.0f, 20.0f, 0x1p-112f, 0x1p-130f, 65504.0f};
    uint64_t kind = rng_next(r) % 8;
    float magnitude = kind < 6 ? magnitudes[kind] : kind == 6 ? largest : 3.0f;
    magnitude = magnitude < largest ? magnitude : largest;
    for (size_t i = 0; i < n; i++) {
        x[i] = rng_float(r, magnitude);
        if (kind == 6 && rng_next(r) % 4 == 0)
            x[i] = x[i] < 0 ? -largest : largest;
        if (kind == 7) // mostly zeros of both signs
            x[i] = rng_next(r) % 8 == 0 ? x[i] : (rng_next(r) & 1 ? 0.0f : -0.0f);
    }
}

static uint8_t *map_slot(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map = mmap(NULL, SLOT_BYTES + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, SLOT_BYTES, PROT_READ | PROT_WRITE) != 0) {
        perror("mapping test memory");
        exit(2);
    }
    return map + page;
}

void *slot_place(struct slot *slot, struct rng *r, size_t n, size_t alignment) {
    if (slot->base == NULL)
        slot->base = map_slot();
    if (n > SLOT_BYTES - 2 * MARGIN) {
        fprintf(stderr, "a test case needs %zu bytes, more than a slot has\n", n);
        exit(2);
    }
    size_t at_end = (SLOT_BYTES - n) / alignment * alignment;
    slot->p = slot->base + (rng_next(r) % 4 ? at_end : 0);
    slot->n = n;
    uint8_t *low = slot->p - slot->base >= MARGIN ? slot->p - MARGIN : slot->base;
    uint8_t *end = slot->base + SLOT_BYTES, *high = end - (slot->p + n) >= MARGIN ? slot->p + n + MARGIN : end;
    memset(low, PATTERN, (size_t)(high - low));
    return slot->p;
}

static bool is_pattern(const uint8_t *from, const uint8_t *to) {
    for (; from < to; from++)
        if (*from != PATTERN)
            return false;
    return true;
}

bool slot_intact(const struct slot *slot) {
    if (slot->p == NULL)
        return true;
    const uint8_t *end = slot->base + SLOT_BYTES, *behind = slot->p + slot->n;
    return is_pattern(slot->p - slot->base >= MARGIN ? slot->p - MARGIN : slot->base, slot->p) &&
           is_pattern(behind, end - behind >= MARGIN ? behind + MARGIN : end);
}

struct slot slots[SLOT_N];

bool slots_intact(void) {
    for (size_t i = 0; i < SLOT_N; i++)
        if (!slot_intact(&slots[i]))
            return false;
    return true;
}

bool same_bits(const void *got, const void *expected, size_t n, size_t size, char *what, size_t what_size) {
    const uint8_t *a = got, *b = expected;
    if (memcmp(a, b, n * size) == 0)
        return true;
    size_t i = 0;
    while (memcmp(a + i * size, b + i * size, size) == 0)
        i++;
    uint32_t x = 0, y = 0;
    memcpy(&x, a + i * size, size < 4 ? size : 4);
    memcpy(&y, b + i * size, size < 4 ? size : 4);
    size_t used = strlen(what);
    snprintf(what + used, what_size - used, ": element %zu is %08x, expected %08x", i, x, y);
    if (size == 4 && (used = strlen(what)) < what_size)
        snprintf(what + used, what_size - used, " (%g, %g)", (double)q4_bits_float(x), (double)q4_bits_float(y));
    return false;
}
