#define FEW_NAME q4_few_iq4_nl_dotprod
#define DECODE_TYPE IQ4_NL
#include "few_lane16.h"
