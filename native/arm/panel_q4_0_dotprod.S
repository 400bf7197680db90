#define FHM 0
#define FUNCTION q4_panel_q4_0_dotprod
#include "panel_q4_0.inc"
