#define KERNEL i8mm
#define FEW_I8MM
#include "few_q4_0.h"
