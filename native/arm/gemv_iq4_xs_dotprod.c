#define GEMV_NAME q4_gemv_iq4_xs_dotprod
#define GEMV_PANEL q4_panel_iq4_xs_dotprod
#define GEMV_BLOCK K16_IQ4_XS_BYTES
#define GEMV_MINIMA 0
#include "gemv_k16.h"
