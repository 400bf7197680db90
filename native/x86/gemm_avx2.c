// The GEMM kernels for AVX2.
#define MATMUL_FILE
#include "vec_avx2.h"

#define ISA avx2
#include "gemm_types.h"

#include "gemm_k_types.h"
