#define KERNEL i8mm_fhm
#define FEW_I8MM
#define FEW_FHM
#include "few_q4_0.h"
