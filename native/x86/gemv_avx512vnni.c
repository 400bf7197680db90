// The GEMV kernels for AVX-512 VNNI.
#define MATMUL_FILE
#include "vec_avx512vnni.h"

#define ISA avx512vnni
#include "gemv_blocks.h"
#include "gemv_k_types.h"
