#define TYPE Q8_0
#define FHM 0
#define FUNCTION2 q4_few2_q8_0_i8mm
#define FUNCTION4 q4_few4_q8_0_i8mm
#define FUNCTION8 q4_few8_q8_0_i8mm
#include "panel_few_lane16_i8mm.inc"
