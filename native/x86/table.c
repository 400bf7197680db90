// The x86 kernels, best first, and the choice between the variants of the other operations.
#include "../cpu.h"
#include "../matmul/matmul.h"

const struct q4_kernel q4_arch_kernels[] = {
    {0},
};

extern const struct q4_ops q4_ops_avx2, q4_ops_avx512;

const struct q4_ops *q4_arch_ops(uint32_t features) {
    if (features & Q4_CPU_AVX512)
        return &q4_ops_avx512;
    if (features & Q4_CPU_AVX2)
        return &q4_ops_avx2;
    return &q4_ops_base;
}
