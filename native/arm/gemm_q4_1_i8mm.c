#define GEMM_NAME q4_gemm_q4_1_i8mm
#define DECODE_TYPE Q4_1
#include "gemm_i8mm.h"
