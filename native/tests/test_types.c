// Every type in every variant against blocks that are taken apart here, column by column.
#include "test.h"

#include "../ops/q4math.h"

#include <stdlib.h>

// A weight is d * scaled_q + m (or d * scaled_q - m * minimum), where d and m are fp16 fields at an offset of the
// block; NO_FIELD: there is none.
#define NO_FIELD ((size_t)-1)

static int low_or_high(const uint8_t *nibbles, size_t column) {
    return nibbles[column % 16] >> (column < 16 ? 0 : 4) & 15;
}

static int q_q4_0(const uint8_t *block, size_t column) { return low_or_high(block + 2, column) - 8; }
static int q_q4_1(const uint8_t *block, size_t column) { return low_or_high(block + 4, column); }
static int q_q5_0(const uint8_t *block, size_t column) {
    return low_or_high(block + 6, column) + 16 * (block[2 + column / 8] >> column % 8 & 1) - 16;
}

static int q_q5_1(const uint8_t *block, size_t column) {
    return low_or_high(block + 8, column) + 16 * (block[4 + column / 8] >> column % 8 & 1);
}

static int q_q8_0(const uint8_t *block, size_t column) { return (int8_t)block[2 + column]; }

// Bits of a column where 32 bytes hold the lowest ones of 32 columns, then the next ones of 32 more.
static int run_bits(const uint8_t *bytes, int width, size_t column) {
    size_t runs = 8 / (size_t)width;
    return bytes[column / (32 * runs) * 32 + column % 32] >> column / 32 % runs * (size_t)width & ((1 << width) - 1);
}

// A bit field at any bit of some bytes
static int bits_at(const uint8_t *bytes, size_t bit, int width) {
    int value = 0;
    for (int i = 0; i < width; i++, bit++)
        value |= (bytes[bit / 8] >> bit % 8 & 1) << i;
    return value;
}

static int sub_q2_k(const uint8_t *block, size_t column) { return block[column / 16] & 15; }
static int min_q2_k(const uint8_t *block, size_t column) { return block[column / 16] >> 4; }
static int q_q2_k(const uint8_t *block, size_t column) {
    return sub_q2_k(block, column) * run_bits(block + 16, 2, column);
}

static int q_q3_k(const uint8_t *block, size_t column) {
    const uint8_t *scales = block + 96;
    size_t s = column / 16;
    int low = bits_at(scales, s % 8 * 8 + s / 8 * 4, 4), high = bits_at(scales, (8 + s % 4) * 8 + s / 4 * 2, 2);
    int q = run_bits(block + 32, 2, column) + 4 * run_bits(block, 1, column) - 4;
    return (low + 16 * high - 32) * q;
}

// Q4_K's and Q5_K's: `part` 0 scales, 1 minima.
static int six_bits(const uint8_t *scales, size_t part, size_t s) {
    if (s < 4)
        return bits_at(scales, (4 * part + s) * 8, 6);
    return bits_at(scales, (4 + s) * 8 + 4 * part, 4) + 16 * bits_at(scales, (4 * part + s - 4) * 8 + 6, 2);
}

static int min_six_bits(const uint8_t *block, size_t column) { return six_bits(block + 4, 1, column / 32); }
static int q_q4_k(const uint8_t *block, size_t column) {
    return six_bits(block + 4, 0, column / 32) * run_bits(block + 16, 4, column);
}

static int q_q5_k(const uint8_t *block, size_t column) {
    int q = run_bits(block + 48, 4, column) + 16 * run_bits(block + 16, 1, column);
    return six_bits(block + 4, 0, column / 32) * q;
}

static int q_q6_k(const uint8_t *block, size_t column) {
    const uint8_t *ql = block + column / 128 * 64, *qh = block + 128 + column / 128 * 32;
    size_t within = column % 128;
    int low = ql[within % 64] >> (within < 64 ? 0 : 4) & 15, high = qh[within % 32] >> within / 32 * 2 & 3;
    return (int8_t)block[192 + column / 16] * (low + 16 * high - 32);
}

static const int values[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static int q_iq4_nl(const uint8_t *block, size_t column) { return values[low_or_high(block + 2, column)]; }
static int q_iq4_xs(const uint8_t *block, size_t column) {
    size_t s = column / 32;
    int scale = bits_at(block + 4, 4 * s, 4) + 16 * bits_at(block + 2, 2 * s, 2) - 32;
    return scale * values[low_or_high(block + 8 + 16 * s, column % 32)];
}

static const struct blocks {
    int number;
    size_t columns, bytes, d, m;
    int (*scaled_q)(const uint8_t *block, size_t column);
    int (*minimum)(const uint8_t *block, size_t column); // of super-blocks with minima: the weight has -m * minimum
} blocks[] = {
    {2, 32, 18, 0, NO_FIELD, q_q4_0, NULL},      {3, 32, 20, 0, 2, q_q4_1, NULL},
    {6, 32, 22, 0, NO_FIELD, q_q5_0, NULL},      {7, 32, 24, 0, 2, q_q5_1, NULL},
    {20, 32, 18, 0, NO_FIELD, q_iq4_nl, NULL},   {8, 32, 34, 0, NO_FIELD, q_q8_0, NULL},
    {10, 256, 84, 80, 82, q_q2_k, min_q2_k},     {11, 256, 110, 108, NO_FIELD, q_q3_k, NULL},
    {12, 256, 144, 0, 2, q_q4_k, min_six_bits},  {13, 256, 176, 0, 2, q_q5_k, min_six_bits},
    {14, 256, 210, 208, NO_FIELD, q_q6_k, NULL}, {23, 256, 136, 0, NO_FIELD, q_iq4_xs, NULL},
};
#define N_BLOCKS (sizeof blocks / sizeof *blocks)

static const struct blocks *blocks_of(const struct q4_type *type) {
    for (size_t i = 0; i < N_BLOCKS; i++)
        if (blocks[i].number == type->number)
            return &blocks[i];
    return NULL;
}

static double field(const uint8_t *block, size_t at) {
    uint16_t h;
    if (at == NO_FIELD)
        return 0.0;
    memcpy(&h, block + at, sizeof h);
    return (double)q4_half_to_float(h);
}

// What is added to d * scaled_q
static double offset(const struct blocks *b, const uint8_t *block, size_t column) {
    return field(block, b->m) * (b->minimum ? -b->minimum(block, column) : 1);
}

static double float_value(int number, const uint8_t *w) {
    uint32_t bits = 0;
    memcpy(&bits, w, number == Q4_TYPE_F32 ? 4 : 2);
    if (number == Q4_TYPE_F16)
        return (double)q4_half_to_float((uint16_t)bits);
    return (double)q4_bits_float(number == Q4_TYPE_BF16 ? bits << 16 : bits);
}

// What a row holds, rounded once: every product and sum here is exact in double.
static void expected_row(const struct q4_type *type, const uint8_t *row, size_t n, float *y) {
    const struct blocks *b = blocks_of(type);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *block = row + i / type->columns * type->bytes;
        size_t c = i % type->columns;
        y[i] = (float)(b ? field(block, b->d) * b->scaled_q(block, c) + offset(b, block, c)
                         : float_value(type->number, block));
    }
}

// A row of random blocks, finite ones.
static uint8_t *random_row(struct rng *r, const struct q4_type *type, size_t *n) {
    size_t count = rng_range(r, 1, type->columns == 1 ? 300 : 12);
    uint8_t *row = slot_place(&slots[SLOT_WEIGHTS], r, count * type->bytes, type->columns == 1 ? type->bytes : 2);
    *n = count * type->columns;
    random_rows(r, type, row, 1, *n);
    return row;
}

static bool facts_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)r;
    const struct q4_type *type = subject;
    const struct blocks *b = blocks_of(type);
    snprintf(what, size, "type %d: %zu columns in %zu bytes", type->number, type->columns, type->bytes);
    bool is_float = type->acts == Q4_ACT_F32 && type->columns == 1;
    bool known = b ? b->columns == type->columns && b->bytes == type->bytes : is_float;
    return known && base_type(type->number)->number == type->number && type->kernel->layout->type == type->number &&
           base_type(-1) == NULL && base_type(1000) == NULL;
}

static bool dequantize_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_type *type = subject;
    size_t n;
    const uint8_t *row = random_row(r, type, &n);
    float *y = slot_place(&slots[SLOT_Y], r, n * sizeof *y, sizeof *y), *expected = malloc(n * sizeof *y);
    expected_row(type, row, n, expected);
    type->dequantize(y, row, n);
    bool right = slots_intact();
    size_t i = 0;
    while (i < n && y[i] == expected[i]) // a zero has either sign
        i++;
    snprintf(what, size, "%zu values, %g instead of %g at %zu", n, i < n ? y[i] : 0.0, i < n ? expected[i] : 0.0, i);
    free(expected);
    return right && i == n;
}

// The other variants have the base variant's bits, the sign of zero included.
static bool variant_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_type *type = subject;
    size_t n;
    const uint8_t *row = random_row(r, type, &n);
    float *y = slot_place(&slots[SLOT_Y], r, n * sizeof *y, sizeof *y), *expected = malloc(n * sizeof *y);
    base_type(type->number)->dequantize(expected, row, n);
    type->dequantize(y, row, n);
    snprintf(what, size, "%zu values", n);
    bool right = same_bits(y, expected, n, sizeof *y, what, size);
    free(expected);
    return right;
}

// One field of a random block becomes infinite or NaN.
static bool finite_case(struct rng *r, const void *subject, char *what, size_t size) {
    static const uint16_t values[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01};
    const struct q4_type *type = subject;
    const struct blocks *b = blocks_of(type);
    size_t n;
    uint8_t *row = random_row(r, type, &n), *block = row + rng_range(r, 0, n / type->columns - 1) * type->bytes;
    bool whole = type->finite(row, n / type->columns);
    uint16_t value = values[rng_next(r) % 4];
    size_t at = b ? (b->m != NO_FIELD && rng_next(r) & 1 ? b->m : b->d) : type->bytes - 2;
    if (!b && type->number != Q4_TYPE_F16) // the upper half of a float
        value = (uint16_t)(value & 0x8000u ? 0xff80 : 0x7f80 | (value & 0x40));
    memcpy(block + at, &value, sizeof value);
    snprintf(what, size, "%zu values, %04x at byte %zu", n, value, (size_t)(block + at - row));
    return whole && !type->finite(row, n / type->columns);
}

// The product of one row with one token, as docs/arithmetic.md has it.
static bool product_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_type *type = subject;
    const struct blocks *b = blocks_of(type);
    size_t n;
    const uint8_t *row = random_row(r, type, &n);
    size_t count = n / b->columns;
    int8_t *q = slot_place(&slots[SLOT_Q], r, n, 1);
    float *d = slot_place(&slots[SLOT_D], r, count * sizeof *d, sizeof *d), y, expected = 0.0f;
    int32_t *sum = slot_place(&slots[SLOT_SUM], r, count * sizeof *sum, sizeof *sum);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *block = row + i * b->bytes;
        int32_t total = 0, below = 0;
        d[i] = q4_round_half(rng_float(r, 0.02f) + 0.03f);
        sum[i] = 0;
        for (size_t c = 0; c < b->columns; c++) {
            q[i * b->columns + c] = (int8_t)((int)(rng_next(r) % 255) - 127);
            sum[i] += q[i * b->columns + c];
            total += b->scaled_q(block, c) * q[i * b->columns + c];
            below += b->minimum ? b->minimum(block, c) * q[i * b->columns + c] : 0;
        }
        expected = fmaf((float)total, (float)field(block, b->d) * d[i], expected);
        if (b->minimum)
            expected = fmaf((float)below, -((float)field(block, b->m) * d[i]), expected);
        else if (b->m != NO_FIELD)
            expected = fmaf((float)sum[i], (float)field(block, b->m) * d[i], expected);
    }
    struct q4_acts acts = {.k = n, .q = q, .d = d, .sum = sum};
    struct q4_task task = {
        .weights = row, .k = n, .n_rows = 1, .n_tokens = 1, .acts = &acts, .y = &y, .y_stride = 1, .ops = &q4_ops_base};
    type->kernel->run(&task);
    snprintf(what, size, "%zu columns", n);
    return same_bits(&y, &expected, 1, sizeof y, what, size);
}

static void test_type(const char *variant, const struct q4_type *type) {
    static const struct {
        const char *name;
        test_case run;
        bool floats; // of floats too
    } tests[] = {
        {"facts", facts_case, true},   {"dequantize", dequantize_case, true}, {"variant", variant_case, true},
        {"finite", finite_case, true}, {"product", product_case, false},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s/%s/%s", variant, type->name, tests[i].name);
        if (tests[i].floats || type->acts != Q4_ACT_F32)
            run_cases(name, tests[i].run, type);
    }
}

static void (*visitor)(const char *variant, const struct q4_type *type);
static const struct q4_type *const *seen[8];
static size_t n_seen;

// Tables of operations may share the types of one variant.
static void visit_types(const struct q4_ops *ops) {
    for (size_t i = 0; i < n_seen; i++)
        if (seen[i] == ops->types)
            return;
    seen[n_seen++] = ops->types;
    for (const struct q4_type *const *type = ops->types; *type; type++)
        visitor(ops->name, *type);
}

void each_type(void (*visit)(const char *variant, const struct q4_type *type)) {
    visitor = visit;
    n_seen = 0;
    each_ops(visit_types);
}

void test_types(void) { each_type(test_type); }
