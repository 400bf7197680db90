// The GEMM kernels for AVX-512 VNNI.
#define MATMUL_FILE
#include "vec_avx512vnni.h"

#define ISA avx512vnni
#define TILE6
#include "gemm_types.h"

#include "gemm_k_types.h"
