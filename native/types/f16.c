// Half precision.
#include "block.h"
#include "lanes.h"

static bool q4_finite_f16(const void *row, size_t n) {
    const uint16_t *w = row;
    bool ok = true;
    for (size_t i = 0; i < n; i++)
        ok &= q4_half_is_finite(w[i]);
    return ok;
}

static void q4_dequantize_f16(float *y, const void *row, size_t n) {
    const uint16_t *w = row;
    for (size_t i = 0; i < n; i++)
        y[i] = q4_half_to_float(w[i]);
}

static void pack(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    q4_pack_lanes(dst, src, row_bytes, n_rows, k, sizeof(uint16_t));
}

static const struct q4_layout lanes = Q4_LANES_LAYOUT(Q4_TYPE_F16, uint16_t, pack);

static void q4_matmul_f16_lanes16(const struct q4_task *t) { Q4_MULTIPLY_LANES(t, uint16_t, dot16_f16); }

static const struct q4_kernel q4_kernel_f16 = {
    .name = "f16_lanes16", .layout = &lanes, .max_tokens = SIZE_MAX, .run = q4_matmul_f16_lanes16};

static bool q4_round_to_f16(const float *x, const float *importance, void *out) {
    (void)importance;
    uint16_t h = q4_float_to_half(x[0]);
    memcpy(out, &h, sizeof h);
    return q4_half_is_finite(h);
}

const struct q4_type Q4_NAME(q4_type_f16) = {
    .number = Q4_TYPE_F16,
    .name = "F16",
    .columns = 1,
    .bytes = sizeof(uint16_t),
    .acts = Q4_ACT_F32,
    .finite = q4_finite_f16,
    .dequantize = q4_dequantize_f16,
    .kernel = &q4_kernel_f16,
    .search = q4_round_to_f16,
};
