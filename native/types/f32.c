// Floats as they are.
#include "lanes.h"

static bool q4_finite_f32(const void *row, size_t n) {
    const float *w = row;
    bool ok = true;
    for (size_t i = 0; i < n; i++)
        ok &= (q4_float_bits(w[i]) & 0x7f800000u) != 0x7f800000u;
    return ok;
}

static void q4_dequantize_f32(float *y, const void *row, size_t n) { memcpy(y, row, n * sizeof *y); }

static void pack(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    q4_pack_lanes(dst, src, row_bytes, n_rows, k, sizeof(float));
}

static const struct q4_layout lanes = Q4_LANES_LAYOUT(Q4_TYPE_F32, float, pack);

static void q4_matmul_f32_lanes16(const struct q4_task *t) { Q4_MULTIPLY_LANES(t, float, dot16_f32); }

static const struct q4_kernel q4_kernel_f32 = {
    .name = "f32_lanes16", .layout = &lanes, .max_tokens = SIZE_MAX, .run = q4_matmul_f32_lanes16};

const struct q4_type Q4_NAME(q4_type_f32) = {
    .number = Q4_TYPE_F32,
    .name = "F32",
    .columns = 1,
    .bytes = sizeof(float),
    .acts = Q4_ACT_F32,
    .finite = q4_finite_f32,
    .dequantize = q4_dequantize_f32,
    .kernel = &q4_kernel_f32,
};
