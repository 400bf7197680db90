#define TYPE Q5_1
#define FHM 1
#define FUNCTION q4_panel_q5_1_dotprod_fhm
#include "panel_lane16.inc"
