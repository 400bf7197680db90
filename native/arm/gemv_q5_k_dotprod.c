#define GEMV_NAME q4_gemv_q5_k_dotprod
#define GEMV_PANEL q4_panel_q5_k_dotprod
#define GEMV_BLOCK K16_Q5_K_BYTES
#define GEMV_MINIMA 32
#include "gemv_k16.h"
