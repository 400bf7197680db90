// The GEMV kernels for AVX-VNNI (256 bits).
#define MATMUL_FILE
#include "vec_avxvnni.h"

#define ISA avxvnni
#include "gemv_blocks.h"
#include "gemv_k_types.h"
