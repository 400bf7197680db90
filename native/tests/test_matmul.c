// Every matrix kernel against the portable one on the GGUF rows.
#include "test.h"

#include "../ops/q4math.h"

#include <stdlib.h>

#define CANARY 0x7fa5a5a5u // what y holds where no kernel may write: a NaN that no kernel makes
#define MAX_WORK 1000000   // rows * columns * tokens of one case, so that the portable kernels take no minutes

struct shape {
    size_t rows, k, tokens;
    size_t y_stride;
};

// Small in two dimensions where it is large in the third.
static struct shape random_shape(struct rng *r, const struct q4_kernel *kernel) {
    size_t block = base_type(kernel->layout->type)->columns;
    struct shape s = {.rows = rng_range(r, 1, 70), .k = block * rng_range(r, 1, 6), .tokens = 1};
    if (kernel->max_tokens > 1)
        s.tokens = rng_next(r) % 4 ? rng_range(r, 1, 16) : rng_range(r, 1, 70);
    if (rng_next(r) % 4 == 0)
        s.k = block * rng_range(r, 1, 5000 / block);
    if (rng_next(r) % 8 == 0)
        s.rows = rng_range(r, 1, 300);
    while (s.rows * s.k * s.tokens > MAX_WORK) {
        size_t *larger = s.rows > s.tokens ? &s.rows : &s.tokens;
        *larger -= (*larger + 3) / 4;
        if (s.rows == 1 && s.tokens == 1)
            break;
    }
    if (s.rows == 0 || s.tokens == 0)
        s.rows = s.tokens = 1;
    s.y_stride = s.rows + (rng_next(r) & 1 ? 0 : rng_range(r, 1, 20));
    return s;
}

static void fill_scales(struct rng *r, float *d, size_t n, bool fp16) {
    uint64_t kind = rng_next(r) % 4;
    for (size_t i = 0; i < n; i++) {
        if (kind == 0)
            d[i] = q4_half_to_float(rng_half(r) & 0x7fff);
        else if (kind == 1 && !fp16) // products with the weights' scales become subnormal
            d[i] = q4_bits_float(q4_float_bits(rng_float(r, 0x1p-112f)) & 0x7fffffff);
        else
            d[i] = q4_round_half(rng_float(r, 0.02f) + 0.03f);
    }
}

// Quantised activations: q in ±127 with runs of extremes, scales, sums.
static void random_q(struct rng *r, int8_t *q, size_t n) {
    uint64_t kind = rng_next(r) % 3;
    for (size_t i = 0; i < n; i++) {
        uint64_t u = rng_next(r);
        q[i] = (int8_t)((int)(u % 255) - 127);
        if (kind == 0)
            q[i] = u >> 20 & 1 ? 127 : -127;
        else if (kind == 1 && (i / 32) % 2)
            q[i] = (u >> 24) % 16 == 0 ? 127 : 127 * (int)(u >> 20 & 1);
    }
}

static void random_acts(struct rng *r, enum q4_act_form form, struct q4_acts *acts, const struct shape *s) {
    acts->k = s->k;
    size_t block = q4_act_traits[form].block, n = s->tokens * s->k;
    if (block == 0) {
        acts->x_stride = s->k + rng_range(r, 0, 3);
        n = (s->tokens - 1) * acts->x_stride + s->k;
        float *x = slot_place(&slots[SLOT_X], r, n * sizeof *x, sizeof *x);
        rng_fill(r, x, n, 65504.0f);
        acts->x = x;
        return;
    }
    int8_t *q = slot_place(&slots[SLOT_Q], r, n, 1);
    float *d = slot_place(&slots[SLOT_D], r, n / block * sizeof *d, sizeof *d);
    random_q(r, q, n);
    fill_scales(r, d, n / block, form == Q4_ACT_Q8);
    acts->q = q;
    acts->d = d;
    if (q4_act_traits[form].sums) {
        int32_t *sum = slot_place(&slots[SLOT_SUM], r, n / block * sizeof *sum, sizeof *sum);
        for (size_t b = 0; b < n / block; b++) {
            sum[b] = 0;
            for (size_t i = 0; i < block; i++)
                sum[b] += q[b * block + i];
        }
        acts->sum = sum;
    }
}

static uint8_t *pack_weights(struct rng *r, const struct q4_layout *layout, const uint8_t *rows,
                             const struct shape *s) {
    size_t panel = q4_panel_bytes(layout, s->k), panels = (s->rows + layout->rows - 1) / layout->rows;
    size_t bytes = q4_row_bytes(base_type(layout->type), s->k);
    uint8_t *packed = slot_place(&slots[SLOT_WEIGHTS], r, panels * panel, layout->block_bytes % 64 == 0 ? 64 : 32);
    memset(packed, 0, panels * panel);
    for (size_t p = 0; p < panels; p++) {
        size_t row = p * layout->rows;
        layout->pack(packed + p * panel, rows + row * bytes, bytes, q4_min_size(layout->rows, s->rows - row), s->k);
    }
    return packed;
}

static void pack_acts(struct rng *r, const struct q4_act_packing *packing, struct q4_acts *acts,
                      const struct shape *s) {
    size_t bytes = packing->bytes(s->k), tiles = (s->tokens + packing->tile - 1) / packing->tile;
    uint8_t *packed = slot_place(&slots[SLOT_PACKED], r, tiles * bytes, 64);
    for (size_t t = 0; t < tiles; t++) {
        size_t token = t * packing->tile;
        packing->pack(packed + t * bytes, acts, token, q4_min_size(packing->tile, s->tokens - token));
    }
    acts->packed = packed;
}

// The matrix in tasks, cut at random panel and token-tile boundaries, as threads would take it.
static void run_tasks(struct rng *r, const struct q4_kernel *kernel, struct q4_task task, const struct shape *s) {
    const uint8_t *weights = task.weights;
    size_t unit = kernel->layout->rows, tile = kernel->packing ? kernel->packing->tile : 1;
    float *y = task.y;
    const float *bias = task.bias;
    for (size_t row = 0; row < s->rows; row += task.n_rows) {
        task.n_rows = q4_min_size(unit * rng_range(r, 1, 4), s->rows - row);
        task.weights = weights + row / unit * q4_panel_bytes(kernel->layout, s->k);
        task.bias = bias ? bias + row : NULL;
        for (size_t token = 0; token < s->tokens; token += task.n_tokens) {
            size_t n = q4_min_size(tile * rng_range(r, 1, 12), s->tokens - token);
            task.n_tokens = q4_min_size(n, kernel->max_tokens);
            task.token0 = token;
            task.y = y + token * s->y_stride + row;
            q4_run_kernel(kernel, &task);
        }
    }
}

// y as it should be, canaries included.
static float *expected_y(const struct q4_type *type, const uint8_t *rows, const struct q4_acts *acts,
                         const struct shape *s) {
    size_t n = (s->tokens - 1) * s->y_stride + s->rows;
    float *y = malloc(n * sizeof *y), *row = malloc(s->k * sizeof *row);
    for (size_t i = 0; i < n; i++)
        y[i] = q4_bits_float(CANARY);
    struct q4_task task = {.weights = rows,
                           .k = s->k,
                           .n_rows = s->rows,
                           .n_tokens = s->tokens,
                           .acts = acts,
                           .y = y,
                           .y_stride = s->y_stride,
                           .ops = &q4_ops_base};
    bool is_float = type->acts == Q4_ACT_F32;
    if (!is_float)
        type->kernel->run(&task);
    for (size_t i = 0; is_float && i < s->rows; i++) {
        type->dequantize(row, rows + i * q4_row_bytes(type, s->k), s->k);
        for (size_t t = 0; t < s->tokens; t++) {
            float acc = 0.0f;
            for (size_t c = 0; c < s->k; c++)
                acc = fmaf(row[c], acts->x[t * acts->x_stride + c], acc);
            y[t * s->y_stride + i] = acc;
        }
    }
    free(row);
    return y;
}

// What a kernel that adds is to add, in y and in what is expected of it.
static void random_additions(struct rng *r, struct q4_task *task, float *expected, const struct shape *s) {
    float *bias = NULL;
    if (rng_next(r) % 2) {
        task->bias = bias = slot_place(&slots[SLOT_X], r, s->rows * sizeof *bias, sizeof *bias);
        rng_fill(r, bias, s->rows, 100.0f);
    }
    task->add = rng_next(r) % 2;
    for (size_t t = 0; t < s->tokens; t++) {
        float *y = task->y + t * s->y_stride, *sum = expected + t * s->y_stride;
        if (task->add)
            rng_fill(r, y, s->rows, 100.0f);
        for (size_t i = 0; i < s->rows; i++) {
            if (bias)
                sum[i] += bias[i];
            if (task->add)
                sum[i] = y[i] + sum[i];
        }
    }
}

bool matmul_case(struct rng *r, const void *subject, char *what, size_t size) {
    const struct q4_kernel *kernel = subject;
    const struct q4_type *type = base_type(kernel->layout->type);
    struct shape s = random_shape(r, kernel);
    struct q4_acts acts = {0};
    uint8_t *rows = malloc(s.rows * q4_row_bytes(type, s.k));
    random_rows(r, type, rows, s.rows, s.k);
    random_acts(r, type->acts, &acts, &s);
    if (kernel->packing)
        pack_acts(r, kernel->packing, &acts, &s);
    size_t n = (s.tokens - 1) * s.y_stride + s.rows;
    float *y = slot_place(&slots[SLOT_Y], r, n * sizeof *y, sizeof *y);
    for (size_t i = 0; i < n; i++)
        y[i] = q4_bits_float(CANARY);
    struct q4_task task = {.weights = pack_weights(r, kernel->layout, rows, &s),
                           .k = s.k,
                           .acts = &acts,
                           .y = y,
                           .y_stride = s.y_stride,
                           .ops = q4_arch_ops(options.features)};
    if (kernel->scratch)
        task.scratch = slot_place(&slots[SLOT_SCRATCH], r, kernel->scratch(s.k), 64);
    float *expected = expected_y(type, rows, &acts, &s);
    if (kernel->adds)
        random_additions(r, &task, expected, &s);
    run_tasks(r, kernel, task, &s);
    snprintf(what, size, "%zu rows, %zu columns, %zu tokens, y stride %zu%s%s", s.rows, s.k, s.tokens, s.y_stride,
             task.bias ? ", bias" : "", task.add ? ", added" : "");
    bool right = same_bits(y, expected, n, sizeof *y, what, size);
    if (right && !slots_intact()) {
        snprintf(what + strlen(what), size - strlen(what), ": wrote outside its memory");
        right = false;
    }
    free(expected);
    free(rows);
    return right;
}

static void print_features(uint32_t features) {
    for (int i = 0; i < Q4_CPU_N_FEATURES; i++)
        if (features >> i & 1)
            printf(" %s", q4_cpu_feature_names[i]);
}

static void list_kernel(const struct q4_kernel *k) {
    if (options.filter && strstr(k->name, options.filter) == NULL)
        return;
    printf("%s: %s, layout %s of %zu rows, %s, needs", k->name, base_type(k->layout->type)->name, k->layout->name,
           k->layout->rows, k->max_tokens == 1 ? "gemv" : "gemm");
    print_features(k->features);
    printf("%s%s\n", k->features ? "" : " nothing", k->features & ~options.features ? " (absent)" : "");
}

static void test_kernel(const char *name, const struct q4_kernel *k) {
    if (options.list)
        list_kernel(k);
    else if ((k->features & ~options.features) == 0)
        run_cases(name, matmul_case, k);
    else if (options.filter == NULL || strstr(name, options.filter))
        printf("skip %s: the CPU lacks a feature\n", name);
}

static void test_portable(const char *variant, const struct q4_type *type) {
    char name[80];
    snprintf(name, sizeof name, "%s/%s", variant, type->kernel->name);
    test_kernel(name, type->kernel);
}

void test_matmul(void) {
    for (const struct q4_kernel *k = q4_arch_kernels; k->name; k++)
        test_kernel(k->name, k);
    each_type(test_portable);
}
