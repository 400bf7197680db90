#define TYPE Q2_K
#define FUNCTION q4_panel_q2_k_dotprod
#include "panel_k16.inc"
