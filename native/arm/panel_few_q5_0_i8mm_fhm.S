#define TYPE Q5_0
#define FHM 1
#define FUNCTION2 q4_few2_q5_0_i8mm_fhm
#define FUNCTION4 q4_few4_q5_0_i8mm_fhm
#define FUNCTION8 q4_few8_q5_0_i8mm_fhm
#include "panel_few_lane16_i8mm.inc"
