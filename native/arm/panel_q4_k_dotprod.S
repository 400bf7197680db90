#define TYPE Q4_K
#define FUNCTION q4_panel_q4_k_dotprod
#include "panel_k16.inc"
