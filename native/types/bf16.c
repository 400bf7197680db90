// The upper half of an fp32.
#include "lanes.h"

static bool q4_finite_bf16(const void *row, size_t n) {
    const uint16_t *w = row;
    bool ok = true;
    for (size_t i = 0; i < n; i++)
        ok &= (w[i] & 0x7f80u) != 0x7f80u;
    return ok;
}

static void q4_dequantize_bf16(float *y, const void *row, size_t n) {
    const uint16_t *w = row;
    for (size_t i = 0; i < n; i++)
        y[i] = q4_bits_float((uint32_t)w[i] << 16);
}

static void pack(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    q4_pack_lanes(dst, src, row_bytes, n_rows, k, sizeof(uint16_t));
}

static const struct q4_layout lanes = Q4_LANES_LAYOUT(Q4_TYPE_BF16, uint16_t, pack);

static void q4_matmul_bf16_lanes16(const struct q4_task *t) { Q4_MULTIPLY_LANES(t, uint16_t, dot16_bf16); }

static const struct q4_kernel q4_kernel_bf16 = {
    .name = "bf16_lanes16", .layout = &lanes, .max_tokens = SIZE_MAX, .run = q4_matmul_bf16_lanes16};

const struct q4_type Q4_NAME(q4_type_bf16) = {
    .number = Q4_TYPE_BF16,
    .name = "BF16",
    .columns = 1,
    .bytes = sizeof(uint16_t),
    .acts = Q4_ACT_F32,
    .finite = q4_finite_bf16,
    .dequantize = q4_dequantize_bf16,
    .kernel = &q4_kernel_bf16,
};
