#define FEW_NAME q4_few_iq4_nl_i8mm
#define FEW_I8MM
#define DECODE_TYPE IQ4_NL
#include "few_lane16.h"
