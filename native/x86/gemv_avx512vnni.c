// The GEMV kernels for AVX-512 VNNI.
#include "vec_avx512vnni.h"

#define ISA avx512vnni
#include "gemv_blocks.h"
#include "gemv_k_types.h"
