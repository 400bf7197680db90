#define TYPE Q4_1
#define FHM 1
#define FUNCTION q4_panel_q4_1_dotprod_fhm
#include "panel_lane16.inc"
