// The GEMV kernels for AVX2.
#define MATMUL_FILE
#include "vec_avx2.h"

#define ISA avx2
#include "gemv_blocks.h"
#include "gemv_k_types.h"
