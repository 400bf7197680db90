// The portable kernels: the written form of every matrix product's arithmetic. Quantised types are read in GGUF's own
// row order, so comparing a SIMD kernel with these checks its packing too.
#include "matmul.h"

#include "../ops/q4math.h"

// ---- layouts ------------------------------------------------------------------------------------

static void pack_rows(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    (void)k;
    memcpy(dst, src, n_rows * row_bytes);
}

#define ROWS_LAYOUT(TYPE, COLUMNS, BLOCK)                                                                              \
    {.name = "rows", .type = TYPE, .rows = 1, .block_columns = COLUMNS, .block_bytes = sizeof(BLOCK), .pack = pack_rows}

static const struct q4_layout rows_q4_0 = ROWS_LAYOUT(Q4_TYPE_Q4_0, Q4_BLOCK, q4_block_q4_0);
static const struct q4_layout rows_q4_1 = ROWS_LAYOUT(Q4_TYPE_Q4_1, Q4_BLOCK, q4_block_q4_1);
static const struct q4_layout rows_q8_0 = ROWS_LAYOUT(Q4_TYPE_Q8_0, Q4_BLOCK, q4_block_q8_0);
static const struct q4_layout rows_q6_k = ROWS_LAYOUT(Q4_TYPE_Q6_K, Q4_SUPER, q4_block_q6_k);

// Floats: [column][16 rows], so that lanes are rows.
static void pack_lanes(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k, size_t bytes) {
    uint8_t *out = dst;
    for (size_t r = 0; r < n_rows; r++, src += row_bytes)
        for (size_t c = 0; c < k; c++)
            memcpy(out + (c * 16 + r) * bytes, src + c * bytes, bytes);
}

static void pack_lanes_2(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    pack_lanes(dst, src, row_bytes, n_rows, k, 2);
}

static void pack_lanes_4(void *dst, const uint8_t *src, size_t row_bytes, size_t n_rows, size_t k) {
    pack_lanes(dst, src, row_bytes, n_rows, k, 4);
}

#define LANES_LAYOUT(TYPE, BYTES)                                                                                      \
    {.name = "lanes16",                                                                                                \
     .type = TYPE,                                                                                                     \
     .rows = 16,                                                                                                       \
     .block_columns = 1,                                                                                               \
     .block_bytes = 16 * BYTES,                                                                                        \
     .pack = pack_lanes_##BYTES}

static const struct q4_layout lanes_f32 = LANES_LAYOUT(Q4_TYPE_F32, 4);
static const struct q4_layout lanes_f16 = LANES_LAYOUT(Q4_TYPE_F16, 2);
static const struct q4_layout lanes_bf16 = LANES_LAYOUT(Q4_TYPE_BF16, 2);

// ---- one row times one token --------------------------------------------------------------------

static float dot_q4_0(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_q4_0 *w = (const q4_block_q4_0 *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_BLOCK);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_BLOCK; b++, q += Q4_BLOCK) {
        int32_t sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += ((w[b].qs[i] & 15) - 8) * q[i] + ((w[b].qs[i] >> 4) - 8) * q[i + 16];
        acc = fmaf((float)sum, q4_half_to_float(w[b].d) * d[b], acc);
    }
    return acc;
}

static float dot_q4_1(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_q4_1 *w = (const q4_block_q4_1 *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_BLOCK);
    const int32_t *total = acts->sum + token * (acts->k / Q4_BLOCK);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_BLOCK; b++, q += Q4_BLOCK) {
        int32_t sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += (w[b].qs[i] & 15) * q[i] + (w[b].qs[i] >> 4) * q[i + 16];
        acc = fmaf((float)sum, q4_half_to_float(w[b].d) * d[b], acc);
        acc = fmaf((float)total[b], q4_half_to_float(w[b].m) * d[b], acc);
    }
    return acc;
}

static float dot_q8_0(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_q8_0 *w = (const q4_block_q8_0 *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_BLOCK);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_BLOCK; b++, q += Q4_BLOCK) {
        int32_t sum = 0;
        for (size_t i = 0; i < Q4_BLOCK; i++)
            sum += w[b].qs[i] * q[i];
        acc = fmaf((float)sum, q4_half_to_float(w[b].d) * d[b], acc);
    }
    return acc;
}

// A super-block's columns come in two halves of 128; in each, quarter j (32 columns) has its low bits in nibble j / 2
// of ql bytes (j % 2) * 32 .. and its high bits in bit pair j of qh.
static int32_t isum_q6_k(const q4_block_q6_k *w, const int8_t *q) {
    int32_t sum = 0;
    for (size_t i = 0; i < Q4_SUPER; i += 16) {
        size_t half = i / 128, j = i % 128 / 32, l = i % 32;
        const uint8_t *low = w->ql + half * 64 + (j & 1) * 32 + l, *high = w->qh + half * 32 + l;
        int32_t part = 0;
        for (size_t c = 0; c < 16; c++)
            part += ((low[c] >> (j >> 1) * 4 & 15) + ((high[c] >> j * 2 & 3) << 4) - 32) * q[i + c];
        sum += w->scales[i / 16] * part;
    }
    return sum;
}

static float dot_q6_k(const uint8_t *row, const struct q4_acts *acts, size_t token) {
    const q4_block_q6_k *w = (const q4_block_q6_k *)row;
    const int8_t *q = acts->q + token * acts->k;
    const float *d = acts->d + token * (acts->k / Q4_SUPER);
    float acc = 0.0f;
    for (size_t b = 0; b < acts->k / Q4_SUPER; b++, q += Q4_SUPER)
        acc = fmaf((float)isum_q6_k(&w[b], q), q4_half_to_float(w[b].d) * d[b], acc);
    return acc;
}

// ---- kernels ------------------------------------------------------------------------------------

typedef float (*dot_function)(const uint8_t *row, const struct q4_acts *acts, size_t token);

static inline void run_rows(const struct q4_task *t, size_t row_bytes, dot_function dot) {
    for (size_t r = 0; r < t->n_rows; r++)
        for (size_t i = 0; i < t->n_tokens; i++)
            t->y[i * t->y_stride + r] = dot(t->weights + r * row_bytes, t->acts, t->token0 + i);
}

void q4_matmul_q4_0_portable(const struct q4_task *t) { run_rows(t, q4_panel_bytes(&rows_q4_0, t->k), dot_q4_0); }
void q4_matmul_q4_1_portable(const struct q4_task *t) { run_rows(t, q4_panel_bytes(&rows_q4_1, t->k), dot_q4_1); }
void q4_matmul_q8_0_portable(const struct q4_task *t) { run_rows(t, q4_panel_bytes(&rows_q8_0, t->k), dot_q8_0); }
void q4_matmul_q6_k_portable(const struct q4_task *t) { run_rows(t, q4_panel_bytes(&rows_q6_k, t->k), dot_q6_k); }

static void store_rows(const struct q4_task *t, size_t token, size_t row, const float y[16]) {
    size_t n = q4_min_size(16, t->n_rows - row);
    memcpy(t->y + token * t->y_stride + row, y, n * sizeof *y);
}

static inline const float *token_x(const struct q4_task *t, size_t token) {
    return t->acts->x + (t->token0 + token) * t->acts->x_stride;
}

#define MATMUL_LANES(NAME, TYPE, DOT)                                                                                  \
    void NAME(const struct q4_task *t) {                                                                               \
        float y[16];                                                                                                   \
        for (size_t r = 0; r < t->n_rows; r += 16)                                                                     \
            for (size_t i = 0; i < t->n_tokens; i++) {                                                                 \
                t->ops->DOT(y, (const TYPE *)t->weights + r * t->k, token_x(t, i), t->k);                              \
                store_rows(t, i, r, y);                                                                                \
            }                                                                                                          \
    }

MATMUL_LANES(q4_matmul_f32_lanes16, float, dot16_f32)
MATMUL_LANES(q4_matmul_f16_lanes16, uint16_t, dot16_f16)
MATMUL_LANES(q4_matmul_bf16_lanes16, uint16_t, dot16_bf16)

const struct q4_kernel q4_portable_kernels[] = {
    {.name = "q4_0_portable", .layout = &rows_q4_0, .max_tokens = SIZE_MAX, .run = q4_matmul_q4_0_portable},
    {.name = "q4_1_portable", .layout = &rows_q4_1, .max_tokens = SIZE_MAX, .run = q4_matmul_q4_1_portable},
    {.name = "q8_0_portable", .layout = &rows_q8_0, .max_tokens = SIZE_MAX, .run = q4_matmul_q8_0_portable},
    {.name = "q6_k_portable", .layout = &rows_q6_k, .max_tokens = SIZE_MAX, .run = q4_matmul_q6_k_portable},
    {.name = "f32_lanes16", .layout = &lanes_f32, .max_tokens = SIZE_MAX, .run = q4_matmul_f32_lanes16},
    {.name = "f16_lanes16", .layout = &lanes_f16, .max_tokens = SIZE_MAX, .run = q4_matmul_f16_lanes16},
    {.name = "bf16_lanes16", .layout = &lanes_bf16, .max_tokens = SIZE_MAX, .run = q4_matmul_bf16_lanes16},
    {0},
};
