// Every variant of the operations against the base one. Attention has a file of its own.
#include "test.h"

#include "../ops/q4math.h"

#include <stdlib.h>

static const struct q4_ops *const base = &q4_ops_base;

void each_ops(void (*visit)(const struct q4_ops *ops)) {
    const struct q4_ops *seen[1 << 8];
    size_t n = 0;
    for (uint32_t subset = 0; subset < 1u << Q4_CPU_N_FEATURES; subset++) {
        if (subset & ~options.features)
            continue;
        const struct q4_ops *ops = q4_arch_ops(subset);
        size_t i = 0;
        while (i < n && seen[i] != ops)
            i++;
        if (i == n)
            visit(seen[n++] = ops);
    }
}

static float *place_floats(enum slot_use use, struct rng *r, size_t n) {
    return slot_place(&slots[use], r, n * sizeof(float), sizeof(float));
}

static float *random_floats(enum slot_use use, struct rng *r, size_t n, float largest) {
    float *x = place_floats(use, r, n);
    rng_fill(r, x, n, largest);
    return x;
}

static bool verdict(bool right, char *what, size_t size) {
    if (right && !slots_intact()) {
        snprintf(what + strlen(what), size - strlen(what), ": wrote outside its memory");
        return false;
    }
    return right;
}

static size_t random_n(struct rng *r) { return rng_next(r) % 4 ? rng_range(r, 1, 100) : rng_range(r, 1, 3000); }

static bool norm_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_ops *ops = subject;
    size_t n = random_n(r);
    float *x = random_floats(SLOT_X, r, n, 1e17f), *w = random_floats(SLOT_WEIGHTS, r, n, 100.0f);
    float *y = place_floats(SLOT_Y, r, n), *expected = malloc(n * sizeof *y), eps = rng_next(r) & 1 ? 1e-5f : 1e-6f;
    if (rng_next(r) % 8 == 0)
        x[rng_range(r, 0, n - 1)] = rng_next(r) & 1 ? INFINITY : NAN;
    snprintf(what, size, "%zu values", n);
    bool finite = base->rms_norm(expected, x, w, n, eps), right = ops->rms_norm(y, x, w, n, eps) == finite;
    right = verdict(right && (!finite || same_bits(y, expected, n, sizeof *y, what, size)), what, size);
    free(expected);
    return right;
}

static bool layer_norm_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_ops *ops = subject;
    size_t n = random_n(r);
    float *x = random_floats(SLOT_X, r, n, 1e16f), *y = place_floats(SLOT_Y, r, n), *expected = malloc(n * sizeof *y);
    if (rng_next(r) % 8 == 0)
        x[rng_range(r, 0, n - 1)] = rng_next(r) & 1 ? INFINITY : NAN;
    snprintf(what, size, "%zu values", n);
    bool finite = base->layer_norm(expected, x, n, 1e-5f), right = ops->layer_norm(y, x, n, 1e-5f) == finite;
    right = verdict(right && (!finite || same_bits(y, expected, n, sizeof *y, what, size)), what, size);
    free(expected);
    return right;
}

static bool clamp_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_ops *ops = subject;
    size_t n = random_n(r);
    float *y = random_floats(SLOT_Y, r, n, 3e38f), *expected = malloc(n * sizeof *y), limit = 0.5f + fabsf(y[0]) / 2;
    memcpy(expected, y, n * sizeof *y);
    base->clamp(expected, n, limit);
    ops->clamp(y, n, limit);
    snprintf(what, size, "%zu values to %g", n, (double)limit);
    bool right = same_bits(y, expected, n, sizeof *y, what, size);
    for (size_t i = 0; i < n; i++)
        right = right && fabsf(expected[i]) <= limit;
    free(expected);
    return verdict(right, what, size);
}

static bool all_finite_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_ops *ops = subject;
    size_t n = random_n(r);
    float *x = random_floats(SLOT_X, r, n, 3e38f);
    uint64_t kind = rng_next(r) % 4;
    if (kind < 3)
        x[rng_range(r, 0, n - 1)] = kind == 0 ? NAN : kind == 1 ? -INFINITY : INFINITY;
    snprintf(what, size, "%zu values, kind %d", n, (int)kind);
    return verdict(ops->all_finite(x, n) == (kind == 3), what, size);
}

// A form of activations; where a value is not finite only the verdict counts.
static bool quantize_case(struct rng *r, const struct q4_ops *ops, enum q4_act_form form, char *what, size_t size) {
    size_t block = q4_act_traits[form].block, blocks = rng_range(r, 1, 20), n = block * blocks;
    float *x = random_floats(SLOT_X, r, n, rng_next(r) & 1 ? 65504.0f : 3e38f);
    if (rng_next(r) % 8 == 0)
        x[rng_range(r, 0, n - 1)] = rng_next(r) & 1 ? -INFINITY : NAN;
    if (rng_next(r) % 4 == 0)
        memset(x, 0, block * sizeof *x);
    int8_t *q = slot_place(&slots[SLOT_Q], r, n, 1), *q_expected = malloc(n);
    float *d = place_floats(SLOT_D, r, blocks), d_expected[20] = {0};
    int32_t *sum = slot_place(&slots[SLOT_SUM], r, blocks * sizeof *sum, sizeof *sum), sum_expected[20] = {0};
    memset(sum, 0, blocks * sizeof *sum);
    snprintf(what, size, "%zu values", n);
    bool finite = base->quantize[form](x, n, q_expected, d_expected, sum_expected);
    bool got = ops->quantize[form](x, n, q, d, sum);
    bool right = got == finite && (!finite || (same_bits(q, q_expected, n, 1, what, size) &&
                                               same_bits(d, d_expected, blocks, sizeof *d, what, size) &&
                                               same_bits(sum, sum_expected, blocks, sizeof *sum, what, size)));
    free(q_expected);
    return verdict(right, what, size);
}

static bool quantize_q8_case(struct rng *r, const void *subject, char *what, size_t size) {
    return quantize_case(r, subject, Q4_ACT_Q8, what, size);
}

static bool quantize_q8k_case(struct rng *r, const void *subject, char *what, size_t size) {
    return quantize_case(r, subject, Q4_ACT_Q8K, what, size);
}

static bool rope_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_ops *ops = subject;
    size_t dim = 2 * rng_range(r, 1, 64);
    enum q4_rope_style style = rng_next(r) & 1 ? Q4_ROPE_NORM : Q4_ROPE_NEOX;
    float *x = random_floats(SLOT_X, r, dim, 65504.0f), *table = random_floats(SLOT_AUX, r, dim, 1.0f), expected[128];
    memcpy(expected, x, dim * sizeof *x);
    base->rope(expected, table, dim, style);
    ops->rope(x, table, dim, style);
    snprintf(what, size, "%zu dimensions, style %d", dim, (int)style);
    return verdict(same_bits(x, expected, dim, sizeof *x, what, size), what, size);
}

static bool gated_case(struct rng *r, const struct q4_ops *ops, enum q4_activation activation, char *what,
                       size_t size) {
    size_t n = random_n(r);
    float *gate = random_floats(SLOT_X, r, n, rng_next(r) & 1 ? 200.0f : 3e38f);
    float *up = random_floats(SLOT_WEIGHTS, r, n, 1.0f), *y = place_floats(SLOT_Y, r, n);
    float *expected = malloc(n * sizeof *y);
    base->gated[activation](expected, gate, up, n);
    ops->gated[activation](y, gate, up, n);
    snprintf(what, size, "%zu values", n);
    bool right = base->all_finite(expected, n) && same_bits(y, expected, n, sizeof *y, what, size);
    free(expected);
    return verdict(right, what, size);
}

static bool swiglu_case(struct rng *r, const void *subject, char *what, size_t size) {
    return gated_case(r, subject, Q4_ACTIVATION_SILU, what, size);
}

static bool geglu_case(struct rng *r, const void *subject, char *what, size_t size) {
    return gated_case(r, subject, Q4_ACTIVATION_GELU, what, size);
}

static bool cap_case(struct rng *r, const void *subject, char *what, size_t size) {
    static const float caps[] = {30.0f, 50.0f, 0x1p-64f, 1.0f, 0x1p64f};
    const struct q4_ops *ops = subject;
    size_t n = random_n(r);
    float *y = random_floats(SLOT_Y, r, n, rng_next(r) & 1 ? 200.0f : 3e38f), *expected = malloc(n * sizeof *y);
    float cap = caps[rng_next(r) % 5];
    memcpy(expected, y, n * sizeof *y);
    base->cap(expected, n, cap);
    ops->cap(y, n, cap);
    snprintf(what, size, "%zu values, cap %g", n, (double)cap);
    bool right = same_bits(y, expected, n, sizeof *y, what, size);
    for (size_t i = 0; i < n; i++)
        right = right && fabsf(expected[i]) <= cap;
    free(expected);
    return verdict(right, what, size);
}

static bool scale_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_ops *ops = subject;
    size_t n = random_n(r);
    float *y = random_floats(SLOT_Y, r, n, 1e17f), *expected = malloc(n * sizeof *y), scale = rng_float(r, 100.0f);
    memcpy(expected, y, n * sizeof *y);
    base->scale(expected, n, scale);
    ops->scale(y, n, scale);
    snprintf(what, size, "%zu values", n);
    bool right = verdict(same_bits(y, expected, n, sizeof *y, what, size), what, size);
    free(expected);
    return right;
}

// The two functions against libm's, over the range where they are neither 0 nor the value itself.
static bool libm_case(struct rng *r, const void *subject, char *what, size_t size) {
    (void)subject;
    float x = rng_float(r, rng_next(r) & 1 ? 1.0f : 12.0f), cap = 0.5f + fabsf(rng_float(r, 60.0f)), s = x * cap;
    double inner = 0.79788456080286535588 * (x + 0.044715 * x * (double)x * x), gelu = x / (1 + exp(-2 * inner));
    double capped = cap * tanh((double)s / cap);
    snprintf(what, size, "x %g, cap %g: gelu %g, cap %g", (double)x, (double)cap, (double)q4_gelu(x),
             (double)q4_soft_cap(s, cap));
    return fabs(q4_gelu(x) - gelu) <= 1e-5 * fabs(gelu) + 1e-36 && fabs(q4_soft_cap(s, cap) - capped) <= 4e-7 * cap;
}

static bool add_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_ops *ops = subject;
    size_t n = random_n(r);
    float *y = random_floats(SLOT_Y, r, n, 1e30f), *x = random_floats(SLOT_X, r, n, 1e30f);
    float *expected = malloc(n * sizeof *y);
    memcpy(expected, y, n * sizeof *y);
    base->add(expected, x, n);
    ops->add(y, x, n);
    snprintf(what, size, "%zu values", n);
    bool right = verdict(same_bits(y, expected, n, sizeof *y, what, size), what, size);
    free(expected);
    return right;
}

static bool add_scaled_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_ops *ops = subject;
    size_t n = random_n(r);
    float *y = random_floats(SLOT_Y, r, n, 1e18f), *x = random_floats(SLOT_X, r, n, 1e18f);
    float *expected = malloc(n * sizeof *y), weight = rng_float(r, 1.0f);
    for (size_t i = 0; i < n; i++)
        expected[i] = fmaf(weight, x[i], y[i]);
    ops->add_scaled(y, x, n, weight);
    snprintf(what, size, "%zu values", n);
    bool right = verdict(same_bits(y, expected, n, sizeof *y, what, size), what, size);
    free(expected);
    return right;
}

// Whether an expert comes before another one.
static bool is_before(const float *scores, size_t a, size_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
}

static bool route_case(struct rng *r, const void *subject, char *what, size_t size) {
    enum { MOST = 300 };
    const struct q4_ops *ops = subject;
    size_t n = rng_range(r, 1, rng_next(r) & 1 ? 20 : MOST), used = rng_range(r, 1, n);
    bool normalised = rng_next(r) & 1, spoilt = rng_next(r) % 16 == 0;
    float *scores = random_floats(SLOT_X, r, n, 50.0f), *weights = place_floats(SLOT_Y, r, used), expected[MOST];
    int32_t *experts = slot_place(&slots[SLOT_AUX], r, used * sizeof *experts, sizeof *experts), other[MOST];
    for (size_t i = 0; rng_next(r) % 4 == 0 && i < n; i++) // many that are equal
        scores[i] = q4_round_even(scores[i] / 16.0f);
    if (spoilt)
        scores[rng_next(r) % n] = rng_next(r) & 1 ? NAN : -INFINITY;
    snprintf(what, size, "%zu of %zu experts%s%s", used, n, normalised ? ", normalised" : "", spoilt ? ", spoilt" : "");
    bool right = base->route(other, expected, scores, n, used, normalised) != spoilt;
    right &= ops->route(experts, weights, scores, n, used, normalised) != spoilt;
    float sum = 0.0f;
    for (size_t i = 0; i < used; sum += weights[i++]) { // in its place if all that were not taken come behind it
        size_t behind = 0;
        for (size_t j = 0; j < n; j++)
            behind += !spoilt && is_before(scores, (size_t)experts[i], j);
        right &= experts[i] >= 0 && (size_t)experts[i] < n && (spoilt || behind == n - 1 - i);
    }
    right &= spoilt || (sum <= 1.0001f && (!normalised || sum >= 0.9999f));
    return verdict(right && same_bits(experts, other, used, sizeof *other, what, size) &&
                       same_bits(weights, expected, used, sizeof *weights, what, size),
                   what, size);
}

static bool dot16_case(struct rng *r, const void *subject, char *what, size_t size) {
    static const int types[] = {Q4_TYPE_F32, Q4_TYPE_F16, Q4_TYPE_BF16};
    const struct q4_ops *ops = subject;
    int type = types[rng_next(r) % 3];
    size_t n = random_n(r), bytes = type == Q4_TYPE_F32 ? 4 : 2;
    uint8_t *w = slot_place(&slots[SLOT_WEIGHTS], r, n * 16 * bytes, bytes);
    random_rows(r, base_type(type), w, 1, n * 16);
    float *x = random_floats(SLOT_X, r, n, 65504.0f), *y = place_floats(SLOT_Y, r, 16), expected[16];
    const struct q4_ops *each[] = {base, ops};
    for (size_t i = 0; i < 2; i++) {
        float *to = i ? y : expected;
        if (type == Q4_TYPE_F32)
            each[i]->dot16_f32(to, (const float *)w, x, n);
        else if (type == Q4_TYPE_F16)
            each[i]->dot16_f16(to, (const uint16_t *)w, x, n);
        else
            each[i]->dot16_bf16(to, (const uint16_t *)w, x, n);
    }
    snprintf(what, size, "%s, %zu columns", base_type(type)->name, n);
    return verdict(same_bits(y, expected, 16, sizeof *y, what, size), what, size);
}

static void test_variant(const struct q4_ops *ops) {
    static const struct {
        const char *name;
        test_case run;
    } tests[] = {
        {"rms_norm", norm_case},
        {"layer_norm", layer_norm_case},
        {"clamp", clamp_case},
        {"all_finite", all_finite_case},
        {"quantize_q8", quantize_q8_case},
        {"quantize_q8k", quantize_q8k_case},
        {"rope", rope_case},
        {"swiglu", swiglu_case},
        {"geglu", geglu_case},
        {"cap", cap_case},
        {"scale", scale_case},
        {"add", add_case},
        {"add_scaled", add_scaled_case},
        {"route", route_case},
        {"dot16", dot16_case},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s/%s", ops->name, tests[i].name);
        run_cases(name, tests[i].run, ops);
    }
}

void test_ops(void) {
    each_ops(test_variant);
    run_cases("gelu_and_cap_of_libm", libm_case, NULL);
}
