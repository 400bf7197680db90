#define GEMV_NAME q4_gemv_q2_k_dotprod
#define GEMV_PANEL q4_panel_q2_k_dotprod
#define GEMV_BLOCK K16_Q2_K_BYTES
#define GEMV_MINIMA 16
#include "gemv_k16.h"
