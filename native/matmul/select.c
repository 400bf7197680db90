// The one place that chooses kernels.
#include "matmul.h"

#include "../ops/q4math.h"

enum q4_act_form q4_act_form_of(int type) {
    if (type == Q4_TYPE_F32 || type == Q4_TYPE_F16 || type == Q4_TYPE_BF16)
        return Q4_ACT_F32;
    return type == Q4_TYPE_Q6_K ? Q4_ACT_Q8K : Q4_ACT_Q8;
}

static bool usable(const struct q4_kernel *k, int type, uint32_t features) {
    return k->layout->type == type && (k->features & ~features) == 0;
}

static const struct q4_kernel *find_in(const struct q4_kernel *table, int type, uint32_t features,
                                       const struct q4_layout *layout) {
    for (const struct q4_kernel *k = table; k->name; k++)
        if (usable(k, type, features) && (layout == NULL || (k->layout == layout && k->max_tokens > 1)))
            return k;
    return NULL;
}

// layout NULL: the first kernel for one token; else the first for many tokens on that layout.
static const struct q4_kernel *find(int type, uint32_t features, const struct q4_layout *layout) {
    const struct q4_kernel *k = find_in(q4_arch_kernels, type, features, layout);
    return k ? k : find_in(q4_portable_kernels, type, features, layout);
}

bool q4_select_kernels(int type, uint32_t features, struct q4_kernel_pair *pair) {
    pair->gemv = find(type, features, NULL);
    pair->gemm = pair->gemv ? find(type, features, pair->gemv->layout) : NULL;
    return pair->gemm != NULL;
}

static bool half_finite(uint16_t h) { return (h & 0x7c00u) != 0x7c00u; }

static bool block_finite(int type, const uint8_t *block) {
    uint16_t d, m;
    switch (type) {
    case Q4_TYPE_F32: {
        uint32_t u;
        memcpy(&u, block, sizeof u);
        return (u & 0x7f800000u) != 0x7f800000u;
    }
    case Q4_TYPE_BF16:
        memcpy(&d, block, sizeof d);
        return (d & 0x7f80u) != 0x7f80u;
    case Q4_TYPE_Q4_1:
        memcpy(&d, block, sizeof d);
        memcpy(&m, block + 2, sizeof m);
        return half_finite(d) && half_finite(m);
    case Q4_TYPE_Q6_K:
        memcpy(&d, block + offsetof(q4_block_q6_k, d), sizeof d);
        return half_finite(d);
    default:
        memcpy(&d, block, sizeof d);
        return half_finite(d);
    }
}

bool q4_weights_finite(int type, const uint8_t *rows, size_t n_rows, size_t k, size_t *bad) {
    size_t columns, bytes;
    if (!q4_type_block(type, &columns, &bytes))
        return false;
    size_t blocks = k / columns;
    for (size_t r = 0; r < n_rows; r++)
        for (size_t b = 0; b < blocks; b++, rows += bytes)
            if (!block_finite(type, rows)) {
                *bad = r;
                return false;
            }
    return true;
}
