// The GEMM kernels for AVX-VNNI (256 bits).
#define MATMUL_FILE
#include "vec_avxvnni.h"

#define ISA avxvnni
#include "gemm_types.h"

#include "gemm_k_types.h"
