#define FHM 1
#define FUNCTION q4_panel_q4_0_dotprod_fhm
#include "panel_q4_0.inc"
