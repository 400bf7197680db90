// The one place that chooses kernels.
#include "matmul.h"

// layout NULL: the first kernel, which is one for few tokens; else the first for many tokens on that layout. NULL where
// there is none.
static const struct q4_kernel *find(const struct q4_type *type, uint32_t features, const struct q4_layout *layout) {
    for (const struct q4_kernel *k = q4_arch_kernels; k->name; k++)
        if (k->layout->type == type->number && (k->features & ~features) == 0 &&
            (layout == NULL || (k->layout == layout && k->max_tokens == SIZE_MAX)))
            return k;
    return NULL;
}

struct q4_kernel_pair q4_select_kernels(const struct q4_type *type, uint32_t features) {
    struct q4_kernel_pair pair = {.gemv = find(type, features, NULL)};
    pair.gemm = pair.gemv ? find(type, features, pair.gemv->layout) : NULL;
    return pair.gemm ? pair : (struct q4_kernel_pair){type->kernel, type->kernel};
}
