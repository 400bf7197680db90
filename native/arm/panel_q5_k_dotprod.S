#define TYPE Q5_K
#define FUNCTION q4_panel_q5_k_dotprod
#include "panel_k16.inc"
