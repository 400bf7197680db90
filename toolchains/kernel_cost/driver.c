// Runs one kernel or operation once on synthetic weights and activations, between two marker functions that the
// emulator's plugin knows by address. What is counted is the kernel alone: packing and quantisation come before.
//
//   q4_kernel_cost --list                       kernels and operations of this CPU (Q4_CPU_FEATURES narrows it)
//   q4_kernel_cost kernel NAME ROWS COLUMNS TOKENS
//   q4_kernel_cost operation NAME SIZE
#include "../../native/cpu.h"
#include "../../native/matmul/matmul.h"
#include "cost.h"
#include "operations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Any finite weights will do: no kernel's work depends on values.
static const uint8_t *pack_weights(const struct q4_layout *layout, size_t rows, size_t k) {
    size_t row_bytes = q4_row_bytes(q4_find_type(q4_types_base, layout->type), k), panel = q4_panel_bytes(layout, k);
    size_t panels = (rows + layout->rows - 1) / layout->rows;
    uint8_t *packed = q4_cost_allocate(panels * panel), *source = q4_cost_allocate(layout->rows * row_bytes);
    for (size_t p = 0; p < panels; p++) {
        for (size_t i = 0; i < layout->rows * row_bytes; i++)
            source[i] = q4_cost_random() & 0x3b; // no fp16 exponent of all ones
        layout->pack(packed + p * panel, source, row_bytes, q4_min_size(layout->rows, rows - p * layout->rows), k);
    }
    return packed;
}

static void quantize(struct q4_acts *acts, const struct q4_type *type, size_t tokens) {
    size_t k = acts->k, blocks = k / q4_act_traits[type->acts].block;
    float *x = q4_cost_allocate(k * sizeof *x), *d = q4_cost_allocate(tokens * blocks * sizeof *d);
    int8_t *q = q4_cost_allocate(tokens * k);
    int32_t *sum = q4_cost_allocate(tokens * blocks * sizeof *sum);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t i = 0; i < k; i++)
            x[i] = (float)q4_cost_random() - 8388608.0f;
        q4_ops_base.quantize[type->acts](x, k, q + t * k, d + t * blocks, sum + t * blocks);
    }
    acts->q = q;
    acts->d = d;
    acts->sum = sum;
}

static void pack_activations(struct q4_acts *acts, const struct q4_act_packing *packing, size_t tokens) {
    size_t bytes = packing->bytes(acts->k), tiles = (tokens + packing->tile - 1) / packing->tile;
    uint8_t *packed = q4_cost_allocate(tiles * bytes);
    for (size_t i = 0; i < tiles; i++)
        packing->pack(packed + i * bytes, acts, i * packing->tile,
                      q4_min_size(packing->tile, tokens - i * packing->tile));
    acts->packed = packed;
}

static void run_kernel(const struct q4_kernel *kernel, size_t rows, size_t k, size_t tokens) {
    struct q4_acts acts = {.k = k};
    quantize(&acts, q4_find_type(q4_types_base, kernel->layout->type), tokens);
    if (kernel->packing)
        pack_activations(&acts, kernel->packing, tokens);
    struct q4_task task = {.weights = pack_weights(kernel->layout, rows, k),
                           .k = k,
                           .n_rows = rows,
                           .n_tokens = tokens,
                           .acts = &acts,
                           .y = q4_cost_allocate(rows * tokens * sizeof(float)),
                           .y_stride = rows,
                           .scratch = kernel->scratch ? q4_cost_allocate(kernel->scratch(k)) : NULL,
                           .ops = &q4_ops_base};
    void (*run)(const struct q4_task *) = kernel->few && tokens > 1 ? kernel->few : kernel->run;
    q4_cost_begin();
    run(&task);
    q4_cost_end();
}

static int usage(const char *program) {
    fprintf(stderr, "usage: %s --list | kernel NAME ROWS COLUMNS TOKENS | operation NAME SIZE\n", program);
    return 2;
}

static void list_form(const struct q4_kernel *k, const char *form) {
    printf("kernel,%s,%s,%s,%zu\n", k->name, q4_find_type(q4_types_base, k->layout->type)->name, form,
           k->layout->block_columns);
}

// Each function once: kernels that differ in features may share one.
static void list_kernels(uint32_t features) {
    for (const struct q4_kernel *k = q4_arch_kernels; k->name; k++) {
        bool run = true, few = k->few;
        for (const struct q4_kernel *other = k + 1; other->name; other++) { // the last needs the fewest features
            run &= other->run != k->run;
            few &= other->few != k->few;
        }
        if ((k->features & ~features) == 0 && run)
            list_form(k, k->max_tokens == SIZE_MAX ? "gemm" : "gemv");
        if ((k->features & ~features) == 0 && few)
            list_form(k, "few");
    }
}

static const struct q4_kernel *find_kernel(const char *name, uint32_t features) {
    for (const struct q4_kernel *k = q4_arch_kernels; k->name; k++)
        if ((k->features & ~features) == 0 && strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

int main(int argc, char **argv) {
    uint32_t features;
    char message[256];
    if (!q4_cpu_select(getenv("Q4_CPU_FEATURES"), &features, message, sizeof message)) {
        fprintf(stderr, "error: %s\n", message);
        return 1;
    }
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list_kernels(features);
        q4_cost_list_operations();
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "operation") == 0)
        return q4_cost_operation(q4_arch_ops(features), argv[2], strtoul(argv[3], NULL, 10)) ? 0 : usage(argv[0]);
    if (argc != 6 || strcmp(argv[1], "kernel") != 0)
        return usage(argv[0]);
    const struct q4_kernel *kernel = find_kernel(argv[2], features);
    size_t rows = strtoul(argv[3], NULL, 10), k = strtoul(argv[4], NULL, 10), tokens = strtoul(argv[5], NULL, 10);
    if (kernel == NULL || rows == 0 || tokens == 0 || k == 0 || k % kernel->layout->block_columns)
        return usage(argv[0]);
    run_kernel(kernel, rows, k, q4_min_size(tokens, kernel->max_tokens));
    return 0;
}
