// The C test program: every kernel and operation against the portable C, bit for bit.
#ifndef Q4_TEST_H
#define Q4_TEST_H

#include "../cpu.h"
#include "../matmul/matmul.h"

#include <stdio.h>
#include <string.h>

// ---- random numbers (SplitMix64: any seed is good) ----------------------------------------------
struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *r);
size_t rng_range(struct rng *r, size_t low, size_t high); // both ends included
float rng_float(struct rng *r, float magnitude);          // in [-magnitude, magnitude]
uint16_t rng_half(struct rng *r);                         // a finite fp16, one in four an extreme value
// Fills x[n] with finite values of one of several kinds: plain, tiny, huge (up to `largest`), sparse, with -0.
void rng_fill(struct rng *r, float *x, size_t n, float largest);

// ---- memory between guard pages -----------------------------------------------------------------
// A slot is a large mapping with inaccessible pages at both ends. Placing n bytes in it puts them directly before the
// end guard (or directly behind the start guard), and fills the surroundings with a pattern that slot_intact checks.
struct slot {
    uint8_t *base, *p;
    size_t n;
};
#define SLOT_BYTES ((size_t)64 << 20)
void *slot_place(struct slot *slot, struct rng *r, size_t n, size_t alignment);
bool slot_intact(const struct slot *slot);

enum slot_use { SLOT_WEIGHTS, SLOT_Q, SLOT_D, SLOT_SUM, SLOT_X, SLOT_PACKED, SLOT_Y, SLOT_SCRATCH, SLOT_AUX, SLOT_N };
extern struct slot slots[SLOT_N];
bool slots_intact(void);

// ---- running ------------------------------------------------------------------------------------
struct options {
    const char *filter; // part of a name
    size_t cases;       // a test
    double seconds;     // no test starts a new case after its share of this
    uint64_t seed;
    uint32_t features;
    bool list;
};

// One random case: true where the result is right. `what` describes the case for the report.
typedef bool (*test_case)(struct rng *r, const void *subject, char *what, size_t size);
// Runs cases of a test; counts and prints. Skips what the filter excludes.
void run_cases(const char *name, test_case run, const void *subject);
extern struct options options;
// Cases so far, of all tests.
struct outcome {
    size_t passed, failed;
};
extern struct outcome outcome;
// From here on a memory fault ends the program with the name of the case that ran.
void report_faults(void);

// Whether n elements of `size` bytes are equal; writes the first difference to `what`.
bool same_bits(const void *got, const void *expected, size_t n, size_t size, char *what, size_t what_size);

// The matrix test with a kernel of one's own choice: what the self-test corrupts.
bool matmul_case(struct rng *r, const void *kernel, char *what, size_t size);
// Random GGUF rows of a type.
void random_rows(struct rng *r, const struct q4_type *type, uint8_t *rows, size_t n_rows, size_t k);
// … without extreme values, as weights of a model are.
void plain_rows(struct rng *r, const struct q4_type *type, uint8_t *rows, size_t n_rows, size_t k);

void test_types(void);
void test_matmul(void);
void test_ops(void);
void test_attention(void);
void test_fp_environment(void);
void test_pages(void);
void test_threads(void);
void test_pmu(void);
void test_plan(void);
void test_interrupt(void);
void test_plan_edges(void);
void test_plan_mistakes(void);
void test_self(void);

// The type with GGUF's number, in the base variant.
static inline const struct q4_type *base_type(int number) { return q4_find_type(q4_types_base, number); }

// Calls visit for each distinct table of operations that some subset of the features selects.
void each_ops(void (*visit)(const struct q4_ops *ops));
// … and for each type of each variant that these tables have.
void each_type(void (*visit)(const char *variant, const struct q4_type *type));

#endif
