#define TYPE Q4_K
#define FUNCTION2 q4_few2_q4_k_i8mm
#define FUNCTION4 q4_few4_q4_k_i8mm
#define FUNCTION8 q4_few8_q4_k_i8mm
#include "panel_few_k16_i8mm.inc"
