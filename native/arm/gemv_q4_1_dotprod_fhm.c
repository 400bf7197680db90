#define GEMV_NAME q4_gemv_q4_1_dotprod_fhm
#define GEMV_TYPE Q4_1
#define GEMV_FHM 1
#include "gemv_lane16.h"
