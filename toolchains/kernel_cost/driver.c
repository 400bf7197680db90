// Runs one kernel once on synthetic weights and activations, between two marker functions that the emulator's plugin
// knows by address. What is counted is the kernel alone: packing and quantisation come before.
//
//   q4_kernel_cost --list                     name, type, most tokens a call of every kernel of this CPU
//   q4_kernel_cost KERNEL ROWS COLUMNS TOKENS
#include "../../native/cpu.h"
#include "../../native/matmul/matmul.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Marker functions: their addresses delimit what is counted.
__attribute__((noinline)) void q4_cost_begin(void) { __asm__ volatile("" ::: "memory"); }
__attribute__((noinline)) void q4_cost_end(void) { __asm__ volatile("" ::: "memory"); }

static uint32_t random_state = 1;

static uint32_t next_random(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static void *allocate(size_t bytes) {
    size_t size = q4_round_up(bytes, 64);
    void *p = aligned_alloc(64, size);
    if (p == NULL) {
        fprintf(stderr, "out of memory: %zu bytes\n", bytes);
        exit(1);
    }
    return memset(p, 0, size);
}

// Any finite weights will do: no kernel's work depends on values.
static const uint8_t *pack_weights(const struct q4_layout *layout, size_t rows, size_t k) {
    size_t columns, bytes;
    q4_type_block(layout->type, &columns, &bytes);
    size_t row_bytes = k / columns * bytes, panel = q4_panel_bytes(layout, k);
    size_t panels = (rows + layout->rows - 1) / layout->rows;
    uint8_t *packed = allocate(panels * panel), *source = allocate(layout->rows * row_bytes);
    for (size_t p = 0; p < panels; p++) {
        for (size_t i = 0; i < layout->rows * row_bytes; i++)
            source[i] = next_random() & 0x3b; // no fp16 exponent of all ones
        layout->pack(packed + p * panel, source, row_bytes, q4_min_size(layout->rows, rows - p * layout->rows), k);
    }
    return packed;
}

static void quantize(struct q4_acts *acts, int type, size_t tokens) {
    size_t k = acts->k, blocks = k / Q4_BLOCK;
    float *x = allocate(k * sizeof *x), *d = allocate(tokens * blocks * sizeof *d);
    int8_t *q = allocate(tokens * k);
    int32_t *sum = allocate(tokens * blocks * sizeof *sum);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t i = 0; i < k; i++)
            x[i] = (float)next_random() - 8388608.0f;
        if (q4_act_form_of(type) == Q4_ACT_Q8K)
            q4_ops_base.quantize_q8k(x, k, q + t * k, d + t * (k / Q4_SUPER));
        else
            q4_ops_base.quantize_q8(x, k, q + t * k, d + t * blocks, sum + t * blocks);
    }
    acts->q = q;
    acts->d = d;
    acts->sum = sum;
}

static void pack_activations(struct q4_acts *acts, const struct q4_act_packing *packing, size_t tokens) {
    size_t bytes = packing->bytes(acts->k), tiles = (tokens + packing->tile - 1) / packing->tile;
    uint8_t *packed = allocate(tiles * bytes);
    for (size_t i = 0; i < tiles; i++)
        packing->pack(packed + i * bytes, acts, i * packing->tile,
                      q4_min_size(packing->tile, tokens - i * packing->tile));
    acts->packed = packed;
}

static void run_kernel(const struct q4_kernel *kernel, size_t rows, size_t k, size_t tokens) {
    struct q4_acts acts = {.k = k};
    quantize(&acts, kernel->layout->type, tokens);
    if (kernel->packing)
        pack_activations(&acts, kernel->packing, tokens);
    struct q4_task task = {.weights = pack_weights(kernel->layout, rows, k), .k = k, .n_rows = rows,
                           .n_tokens = tokens, .acts = &acts, .y = allocate(rows * tokens * sizeof(float)),
                           .y_stride = rows, .scratch = kernel->scratch ? allocate(kernel->scratch(k)) : NULL,
                           .ops = &q4_ops_base};
    q4_cost_begin();
    kernel->run(&task);
    q4_cost_end();
}

int main(int argc, char **argv) {
    uint32_t features = q4_cpu_detect();
    size_t rows = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, k = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    size_t tokens = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    bool list = argc == 2 && strcmp(argv[1], "--list") == 0;
    if (!list && (argc != 5 || rows == 0 || k == 0 || k % Q4_SUPER || tokens == 0)) {
        fprintf(stderr, "usage: %s --list | KERNEL ROWS COLUMNS TOKENS (columns a multiple of %d)\n", argv[0], Q4_SUPER);
        return 2;
    }
    for (const struct q4_kernel *kernel = q4_arch_kernels; kernel->name; kernel++) {
        if (kernel->features & ~features)
            continue;
        if (list) {
            printf("%s %s %s\n", kernel->name, q4_type_name(kernel->layout->type),
                   kernel->max_tokens == 1 ? "gemv" : "gemm");
        } else if (strcmp(kernel->name, argv[1]) == 0) {
            run_kernel(kernel, rows, k, kernel->max_tokens == 1 ? 1 : tokens);
            return 0;
        }
    }
    if (!list)
        fprintf(stderr, "no kernel '%s' for this CPU\n", argv[1]);
    return list ? 0 : 1;
}
