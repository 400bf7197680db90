#define GEMV_NAME q4_gemv_q4_1_dotprod
#define GEMV_TYPE Q4_1
#define GEMV_FHM 0
#include "gemv_lane16.h"
