#define GEMM_NAME q4_gemm_iq4_nl_dotprod
#define DECODE_TYPE IQ4_NL
#include "gemm_dotprod.h"
