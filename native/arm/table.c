// The Arm kernels, best first, and the choice between the variants of the other operations.
#include "../cpu.h"
#include "../matmul/matmul.h"

const struct q4_kernel q4_arch_kernels[] = {
    {0},
};

const struct q4_ops *q4_arch_ops(uint32_t features) {
    (void)features;
    return &q4_ops_base;
}
