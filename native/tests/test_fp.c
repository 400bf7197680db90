// A caller that flushes subnormals must not change results: q4_fp_enter restores the default environment, and
// q4_fp_leave the caller's.
#include "test.h"

#include "../ops/q4math.h"

static bool flushes(void) {
    volatile float tiny = 0x1p-130f, half = 0.5f;
    volatile float product = tiny * half;
    return product == 0.0f;
}

// Sums of squares and scales whose bits depend on gradual underflow.
static void compute(const struct q4_ops *ops, float y[64], const float x[64], const float w[64]) {
    ops->gated[Q4_ACTIVATION_SILU](y, x, w, 32);
    ops->dot16_f32(y + 32, w, x, 4);
    memcpy(y + 48, x, 16 * sizeof *y);
    ops->add(y + 48, w, 16);
}

static bool environment_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_ops *ops = subject;
    float x[64], w[64], expected[64], entered[64], flushed[64];
    for (size_t i = 0; i < 64; i++) {
        x[i] = rng_float(r, 0x1p-63f);
        w[i] = rng_float(r, 0x1p-66f);
        if (i >= 48 || i < 16) {
            x[i] *= 0x1p-65f;
            w[i] *= 0x1p-62f;
        }
    }
    compute(ops, expected, x, w);
    uint64_t before = q4_fp_enter();
    q4_fp_leave(q4_fp_flush_state);
    bool flush_works = flushes();
    compute(ops, flushed, x, w);
    uint64_t state = q4_fp_enter();
    bool entered_default = !flushes();
    compute(ops, entered, x, w);
    q4_fp_leave(state);
    bool left = flushes();
    q4_fp_leave(before);
    snprintf(what, size, "flush state %s, enter %s it, leave %s it", flush_works ? "flushes" : "DOES NOT FLUSH",
             entered_default ? "clears" : "KEEPS", left ? "restores" : "LOSES");
    if (memcmp(flushed, expected, sizeof expected) == 0) {
        snprintf(what + strlen(what), size - strlen(what), "; the values do not depend on the state");
        return false;
    }
    return flush_works && entered_default && left && same_bits(entered, expected, 64, sizeof(float), what, size);
}

static void test_variant(const struct q4_ops *ops) {
    char name[80];
    snprintf(name, sizeof name, "%s/flush to zero", ops->name);
    run_cases(name, environment_case, ops);
}

void test_fp_environment(void) { each_ops(test_variant); }
