#define TYPE Q3_K
#define FUNCTION q4_panel_q3_k_dotprod
#include "panel_k16.inc"
