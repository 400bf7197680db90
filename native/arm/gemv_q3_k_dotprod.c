#define GEMV_NAME q4_gemv_q3_k_dotprod
#define GEMV_PANEL q4_panel_q3_k_dotprod
#define GEMV_BLOCK K16_Q3_K_BYTES
#define GEMV_MINIMA 0
#include "gemv_k16.h"
