#define FEW_I8MM
#include "few_q4_k.h"
