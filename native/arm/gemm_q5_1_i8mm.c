#define GEMM_NAME q4_gemm_q5_1_i8mm
#define DECODE_TYPE Q5_1
#include "gemm_i8mm.h"
